//! `Dockerfile.optimized` and `.dockerignore`: an image that is small, not root's and built as it was asked for.

use crate::{
    assert_none, assert_one,
    source::{files, text},
};

const FILE: &str = "Dockerfile.optimized";
/// Where shells and package managers are missing.
const DISTROLESS: &str = "gcr.io/distroless/";

/// An instruction on one line, and where it begins.
struct Step {
    line: usize,
    verb: String,
    rest: String,
}

impl Step {
    /// What is said about it.
    fn fault(&self, message: &str) -> String {
        format!("{FILE}:{}: {} {}: {message}", self.line, self.verb, self.rest)
    }

    /// A COPY's stage, what it copies, and without where to.
    fn copied(&self) -> (Option<&str>, Vec<&str>) {
        let words = || self.rest.split_whitespace();
        let mut sources: Vec<&str> = words().filter(|word| !word.starts_with("--")).collect();
        sources.pop();
        (words().find_map(|word| word.strip_prefix("--from=")), sources)
    }
}

/// Decisions 3, 22 and 23: what C is compiled with, wherever this is built.
#[test]
fn the_image_and_every_build_here_have_the_options_of_the_decisions() {
    assert_eq!(option_env!("AWS_LC_SYS_NO_JITTER_ENTROPY"), Some("1"));
    let sqlite = option_env!("LIBSQLITE3_FLAGS").unwrap_or_default();
    assert_eq!(sqlite, "-DHAVE_FDATASYNC=1 -DSQLITE_DEFAULT_MEMSTATUS=0");
    // Not what it came to: whoever sets flags of their own has theirs.
    assert!(text(".cargo/config.toml").contains("CFLAGS = \"-DMI_DEFAULT_ARENA_EAGER_COMMIT=0\""));
    let stages = steps(&text(FILE));
    let build = stages.iter().position(|step| step.rest.contains("cargo build")).expect("it builds");
    assert!(stages[..build].iter().any(|step| step.verb == "COPY" && step.rest == ".cargo .cargo"));
}

#[test]
fn the_image_keeps_its_rules() {
    assert_none(stage_faults(&steps(&text(FILE))));
    assert_none(final_faults(&steps(&text(FILE))));
    assert_none(context_faults(&steps(&text(FILE)), &files(), &text(".dockerignore")));
}

const GOOD: &str = "# A comment
FROM rust:1-slim AS build
ARG TARGET_CPU=generic
COPY Cargo.toml ./
COPY src src
RUN cargo build && \\
    true
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.version=\"VERSION\"
COPY --from=build /out/chancery /
USER 65532:65532
VOLUME /var/lib/chancery
HEALTHCHECK --interval=1s CMD [\"/chancery\", \"healthcheck\"]
ENTRYPOINT [\"/chancery\"]
";
const CONTEXT: &[&str] = &["Cargo.toml", "src/main.rs", "docs/a.md"];
const IGNORE: &str = "# A comment\n*\n!Cargo.toml\n!src\n";

fn faults_of(file: &str, ignore: &str) -> Vec<String> {
    let steps = steps(&file.replace("VERSION", env!("CARGO_PKG_VERSION")));
    let files: Vec<String> = CONTEXT.iter().map(|path| (*path).to_owned()).collect();
    [stage_faults(&steps), final_faults(&steps), context_faults(&steps, &files, ignore)].concat()
}

#[test]
fn an_image_that_breaks_a_rule_is_noticed() {
    assert_none(faults_of(GOOD, IGNORE));
    for (good, bad, said) in [
        ("rust:1-slim", "rust:latest", "a tag other than latest"),
        ("rust:1-slim", "rust", "a tag other than latest"),
        ("ARG TARGET_CPU=generic\n", "", "ARG TARGET_CPU=generic is missing"),
        ("TARGET_CPU=generic", "TARGET_CPU=native", "ARG TARGET_CPU=generic is missing"),
        ("--from=build", "--from=built", "no stage of this name"),
        ("USER 65532:65532", "USER nonroot", "neither root nor by name"),
        ("USER 65532:65532", "USER 0:0", "neither root nor by name"),
        ("USER 65532:65532\n", "", "no USER"),
        ("\"healthcheck\"]", "\"serve\"]", "chancery healthcheck"),
        ("HEALTHCHECK --interval=1s CMD [\"/chancery\", \"healthcheck\"]\n", "", "no HEALTHCHECK"),
        ("ENTRYPOINT [\"/chancery\"]", "ENTRYPOINT /chancery", "there is no shell"),
        ("USER 65532", "RUN true\nUSER 65532", "there is no shell"),
        ("gcr.io/distroless/cc-debian12:nonroot", "debian:12", "has a shell"),
        ("VERSION", "0.0.0", "the version of Cargo.toml"),
        ("COPY src src", "COPY source src", "is not in the repository"),
        ("COPY src src", "COPY docs/a.md src", ".dockerignore keeps it out"),
    ] {
        assert_one(&faults_of(&GOOD.replace(good, bad), IGNORE), said);
    }
    assert_one(&faults_of(GOOD, "*\n!src\n"), ".dockerignore keeps it out");
    assert_one(&faults_of(GOOD, "*\n!Cargo.toml\n!src\nsrc/main.rs\n"), ".dockerignore keeps it out");
    assert_one(&faults_of(GOOD, "target\n"), "begin with *");
}

/// The image's build has the sources of the program alone: a target that is only a name is looked for.
#[test]
fn the_manifest_is_read_without_tests_and_benches() {
    assert_none(pathless_targets(&text("Cargo.toml")));
}

#[test]
fn a_target_without_a_path_is_noticed() {
    let bench = "[[bench]]\nname = \"a\"\nharness = false\n";
    assert_one(&pathless_targets(&format!("{bench}\n[profile.dev]\npath = \"no\"\n")), "Cargo.toml:1: ");
    assert_none(pathless_targets(&format!("{bench}path = \"benches/a.rs\"\n\n[features]\n")));
}

/// The instructions, without comments, and continued lines joined.
fn steps(file: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut goes_on = false;
    for (at, line) in file.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
        let text = line.trim_end_matches('\\').trim();
        if let Some(step) = steps.last_mut().filter(|_| goes_on) {
            step.rest = format!("{} {text}", step.rest);
        } else if let Some((verb, rest)) = text.split_once(' ') {
            steps.push(Step { line: at + 1, verb: verb.to_uppercase(), rest: rest.trim().to_owned() });
        }
        goes_on = line.ends_with('\\');
    }
    steps
}

/// Whether every stage begins with something fixed, and is there when it is copied from.
fn stage_faults(steps: &[Step]) -> Vec<String> {
    let (mut findings, mut stages) = (Vec::new(), vec!["scratch"]);
    for step in steps {
        if step.verb == "FROM" {
            let mut words = step.rest.split_whitespace();
            let image = words.next().unwrap_or_default();
            let tag = image.rsplit('/').next().and_then(|name| name.split_once(':'));
            if !stages.contains(&image) && tag.is_none_or(|(_, tag)| tag == "latest") {
                findings.push(step.fault("give it a tag other than latest"));
            }
            stages.extend(words.nth(1));
        }
        if step.verb == "COPY" && step.copied().0.is_some_and(|stage| !stages.contains(&stage)) {
            findings.push(step.fault("no stage of this name is above it"));
        }
    }
    if !steps.iter().any(|step| step.verb == "ARG" && step.rest == "TARGET_CPU=generic") {
        findings
            .push(format!("{FILE}:1: ARG TARGET_CPU=generic is missing: the only default for every machine"));
    }
    findings
}

/// Whether the last stage, which is the image, needs neither root nor a shell.
fn final_faults(steps: &[Step]) -> Vec<String> {
    let start = steps.iter().rposition(|step| step.verb == "FROM").unwrap_or_default();
    let mut findings = Vec::new();
    for needed in ["USER", "HEALTHCHECK", "ENTRYPOINT", "VOLUME", "LABEL"] {
        if !steps[start..].iter().any(|step| step.verb == needed) {
            findings.push(format!("{FILE}:1: the last stage has no {needed}"));
        }
    }
    let version = format!("org.opencontainers.image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    for step in &steps[start..] {
        let exec_form = step.rest.split_once('[').is_some_and(|(before, _)| {
            before.split_whitespace().all(|word| word.starts_with("--") || word == "CMD")
        });
        let number = |part: &str| part.parse::<u32>().is_ok_and(|number| number > 0);
        let fault = match step.verb.as_str() {
            "FROM" if !step.rest.starts_with(DISTROLESS) => "has a shell; end with a distroless image",
            "RUN" | "SHELL" => "there is no shell in the image; do it in a stage above",
            "ENTRYPOINT" | "CMD" | "HEALTHCHECK" if !exec_form => {
                "there is no shell in the image; write a list"
            }
            "HEALTHCHECK" if !step.rest.ends_with("chancery\", \"healthcheck\"]") => {
                "ask by chancery healthcheck"
            }
            "USER"
                if !step.rest.split_once(':').is_some_and(|(user, group)| number(user) && number(group)) =>
            {
                "neither root nor by name: UID:GID, for Kubernetes too"
            }
            "LABEL" if !step.rest.contains(&version) => "give it the version of Cargo.toml",
            _ => continue,
        };
        findings.push(step.fault(fault));
    }
    findings
}

/// Whether what is copied from the repository is there, and reaches the builder.
fn context_faults(steps: &[Step], files: &[String], ignore: &str) -> Vec<String> {
    let rules: Vec<&str> =
        ignore.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    if rules.first() != Some(&"*") {
        return vec![".dockerignore:1: begin with *, so that secrets and builds stay here".into()];
    }
    let mut findings = Vec::new();
    for step in steps.iter().filter(|step| step.verb == "COPY") {
        let (stage, sources) = step.copied();
        for source in sources.into_iter().filter(|_| stage.is_none()) {
            let mut inside = files.iter().filter(|file| is_within(file, source)).peekable();
            if inside.peek().is_none() {
                findings.push(step.fault(&format!("{source} is not in the repository")));
            } else if inside.any(|file| is_ignored(file, &rules)) {
                findings.push(step.fault(&format!("{source}: .dockerignore keeps it out")));
            }
        }
    }
    findings
}

fn is_within(file: &str, folder: &str) -> bool {
    file.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The last rule that speaks of a file, or of a folder above it, decides.
fn is_ignored(file: &str, rules: &[&str]) -> bool {
    let speaks = |rule: &&&str| {
        let path = rule.trim_start_matches('!');
        path == "*" || is_within(file, path)
    };
    rules.iter().rev().find(speaks).is_some_and(|rule| !rule.starts_with('!'))
}

fn pathless_targets(manifest: &str) -> Vec<String> {
    let lines: Vec<&str> = manifest.lines().collect();
    let is_target = |line: &str| ["[[bench]]", "[[test]]", "[[bin]]", "[[example]]"].contains(&line.trim());
    let mut findings = Vec::new();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| is_target(line)) {
        let mut table = lines[at + 1..].iter().take_while(|line| !line.starts_with('['));
        if !table.any(|line| line.starts_with("path = ")) {
            findings.push(format!("Cargo.toml:{}: give it a path; {FILE} builds without it", at + 1));
        }
    }
    findings
}
