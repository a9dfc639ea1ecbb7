//! The binary: allocator, command line, call the application. Nothing else.

/// See docs/decisions/0003-allocator.md.
#[cfg(all(feature = "mimalloc", not(feature = "profiling")))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // Huge pages under the allocator's arenas triple what an idle server holds; without the permission
    // to refuse them it only holds more.
    #[cfg(all(feature = "mimalloc", target_os = "linux"))]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    std::process::exit(chancery::cli::run());
}
