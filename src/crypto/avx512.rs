//! RFC 9106 §3.5 — the compression function G in AVX-512: eight 64-bit words in each register.
//!
//! This file alone may say `unsafe`. Why: the instructions of one processor family halve the time of a
//! password hash again, and the library has no kernel for them. What it relies on:
//!
//! 1. [`Avx512`] exists only where [`Avx512::detect`] has seen `avx512f` in the running processor and
//!    system. Every function here that has `target_feature` is reached through it, and through it only.
//! 2. A load or store touches exactly the 64 bytes of the `&[u64; 8]` or `&mut [u64; 8]` it is given:
//!    the slice is in bounds and alive because it is a reference. The instructions used ask for no
//!    alignment.
//!
//! Everything else (indices, borrows, arithmetic) is safe code. `argon2id.rs` compares it with the
//! library over random parameters and inputs, and with the vectors of RFC 9106.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use argon2::Block;

/// Words in a block.
pub(super) const WORDS: usize = Block::SIZE / 8;
/// Registers that hold a block.
const REGISTERS: usize = WORDS / 8;

/// The proof that this processor has AVX-512.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

/// Which blocks of the memory one step of Argon2 works on.
#[derive(Clone, Copy)]
pub(super) struct BlockStep {
    /// The block before.
    pub(super) previous: usize,
    /// The block that the algorithm refers to.
    pub(super) reference: usize,
    /// The block to be made.
    pub(super) current: usize,
    /// Whether it is added to what is there (RFC 9106 §3.2, passes after the first).
    pub(super) add: bool,
}

impl Avx512 {
    /// `Some` if the instructions can be used.
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_x86_feature_detected!("avx512f").then_some(Self(()))
    }

    /// Makes the block that a step names: G(previous, reference), added to what is there if asked.
    ///
    /// `next` is told the first word of the new block while the rest of it is still being computed, and
    /// names the block that will be referred to next, so that its way from memory begins early.
    #[inline]
    pub(super) fn step(
        self,
        memory: &mut [Block],
        step: BlockStep,
        next: impl FnOnce(u64) -> usize,
    ) -> usize {
        // SAFETY: invariant 1, `self` is the proof.
        unsafe { compress_in(memory, step, next) }
    }

    /// G of two blocks.
    #[inline]
    pub(super) fn compress(self, one: &Block, other: &Block) -> Block {
        let mut made = Block::new();
        // SAFETY: invariant 1, `self` is the proof.
        unsafe { store(&mut made, &compress(&load(one), &load(other), |_| {})) };
        made
    }
}

type Registers = [__m512i; REGISTERS];

#[target_feature(enable = "avx512f")]
fn compress_in(memory: &mut [Block], step: BlockStep, next: impl FnOnce(u64) -> usize) -> usize {
    let (previous, reference) = (load(&memory[step.previous]), load(&memory[step.reference]));
    let added = if step.add { memory[step.current].as_ref()[0] } else { 0 };
    let mut then = 0;
    let mut made = compress(&previous, &reference, |word| {
        then = next(word ^ added);
        fetch(&memory[then]);
    });
    let current = &mut memory[step.current];
    if step.add {
        made = xor(&made, &load(current));
    }
    store(current, &made);
    then
}

/// RFC 9106 §3.5: R = X xor Y; P on each row, then on each column; the result xor R. The first word is
/// done when half of the columns are.
#[inline]
#[target_feature(enable = "avx512f")]
fn compress(x: &Registers, y: &Registers, first: impl FnOnce(u64)) -> Registers {
    let r = xor(x, y);
    let mut z = r;
    for half in 0..2 {
        rows(&mut z, 8 * half);
    }
    columns(&mut z, 0);
    let word = _mm_cvtsi128_si64(_mm512_castsi512_si128(_mm512_xor_si512(z[0], r[0])));
    first(word.cast_unsigned());
    columns(&mut z, 1);
    xor(&z, &r)
}

/// Asks for a block's cache lines without waiting for them.
#[inline]
fn fetch(block: &Block) {
    for words in block.as_ref().as_chunks::<8>().0 {
        // SAFETY: a hint, which touches nothing; the address is that of a reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(words.as_ptr().cast()) };
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(block: &Block) -> Registers {
    let (words, _) = block.as_ref().as_chunks::<8>();
    // SAFETY: invariant 2, `words[n]` is a reference to 64 bytes.
    std::array::from_fn(|n| unsafe { _mm512_loadu_si512(words[n].as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(block: &mut Block, from: &Registers) {
    let (words, _) = block.as_mut().as_chunks_mut::<8>();
    for (words, register) in words.iter_mut().zip(from) {
        // SAFETY: invariant 2, `words` is a unique reference to 64 bytes.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), *register) };
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor(one: &Registers, other: &Registers) -> Registers {
    std::array::from_fn(|n| _mm512_xor_si512(one[n], other[n]))
}

/// P on four rows at once. A row is two registers; the round wants the four rows' first quarters
/// together, then their second ones, and so on.
#[inline]
#[target_feature(enable = "avx512f")]
fn rows(z: &mut Registers, at: usize) {
    let [a0, c0, b0, d0, a1, c1, b1, d1] = std::array::from_fn(|n| z[at + n]);
    let ((a0, b0), (c0, d0)) = (halves(a0, b0), halves(c0, d0));
    let ((a1, b1), (c1, d1)) = (halves(a1, b1), halves(c1, d1));
    let [(a0, b0, c0, d0), (a1, b1, c1, d1)] = round([(a0, b0, c0, d0), (a1, b1, c1, d1)]);
    let ((a0, b0), (c0, d0)) = (halves(a0, b0), halves(c0, d0));
    let ((a1, b1), (c1, d1)) = (halves(a1, b1), halves(c1, d1));
    z[at..at + 8].copy_from_slice(&[a0, c0, b0, d0, a1, c1, b1, d1]);
}

/// P on four columns at once; a column is two words of every second register.
#[inline]
#[target_feature(enable = "avx512f")]
fn columns(z: &mut Registers, at: usize) {
    let [a0, a1, b0, b1, c0, c1, d0, d1] = std::array::from_fn(|n| z[at + 2 * n]);
    let ((a0, a1), (b0, b1)) = (quarters(a0, a1), quarters(b0, b1));
    let ((c0, c1), (d0, d1)) = (quarters(c0, c1), quarters(d0, d1));
    let [(a0, b0, c0, d0), (a1, b1, c1, d1)] = round([(a0, b0, c0, d0), (a1, b1, c1, d1)]);
    let ((a0, a1), (b0, b1)) = (quarters_back(a0, a1), quarters_back(b0, b1));
    let ((c0, c1), (d0, d1)) = (quarters_back(c0, c1), quarters_back(d0, d1));
    for (n, register) in [a0, a1, b0, b1, c0, c1, d0, d1].into_iter().enumerate() {
        z[at + 2 * n] = register;
    }
}

/// Gathers the low halves of two registers, and the high ones. Twice is nothing.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(one: __m512i, other: __m512i) -> (__m512i, __m512i) {
    (_mm512_shuffle_i64x2::<0b01_00_01_00>(one, other), _mm512_shuffle_i64x2::<0b11_10_11_10>(one, other))
}

/// Gathers the even quarters of two registers, and the odd ones.
#[inline]
#[target_feature(enable = "avx512f")]
fn quarters(one: __m512i, other: __m512i) -> (__m512i, __m512i) {
    let order = _mm512_setr_epi64(0, 1, 4, 5, 2, 3, 6, 7);
    let (low, high) = halves(one, other);
    (_mm512_permutexvar_epi64(order, low), _mm512_permutexvar_epi64(order, high))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn quarters_back(one: __m512i, other: __m512i) -> (__m512i, __m512i) {
    let order = _mm512_setr_epi64(0, 1, 4, 5, 2, 3, 6, 7);
    halves(_mm512_permutexvar_epi64(order, one), _mm512_permutexvar_epi64(order, other))
}

/// The 4 × 4 words of a round by row, for four rows or columns of the block.
type Square = (__m512i, __m512i, __m512i, __m512i);

/// RFC 9106 §3.6: the permutation P, for two squares at once so that their steps overlap.
#[inline]
#[target_feature(enable = "avx512f")]
fn round(mut squares: [Square; 2]) -> [Square; 2] {
    for square in &mut squares {
        *square = mix(*square);
    }
    for square in &mut squares {
        let (a, b, c, d) = *square;
        *square = mix((
            a,
            _mm512_permutex_epi64::<0b00_11_10_01>(b),
            _mm512_permutex_epi64::<0b01_00_11_10>(c),
            _mm512_permutex_epi64::<0b10_01_00_11>(d),
        ));
    }
    for square in &mut squares {
        let (a, b, c, d) = *square;
        *square = (
            a,
            _mm512_permutex_epi64::<0b10_01_00_11>(b),
            _mm512_permutex_epi64::<0b01_00_11_10>(c),
            _mm512_permutex_epi64::<0b00_11_10_01>(d),
        );
    }
    squares
}

/// RFC 9106 §3.6: GB.
#[inline]
#[target_feature(enable = "avx512f")]
fn mix((mut a, mut b, mut c, mut d): Square) -> Square {
    a = multiply_add(a, b);
    d = _mm512_ror_epi64::<32>(_mm512_xor_si512(d, a));
    c = multiply_add(c, d);
    b = _mm512_ror_epi64::<24>(_mm512_xor_si512(b, c));
    a = multiply_add(a, b);
    d = _mm512_ror_epi64::<16>(_mm512_xor_si512(d, a));
    c = multiply_add(c, d);
    b = _mm512_ror_epi64::<63>(_mm512_xor_si512(b, c));
    (a, b, c, d)
}

/// x + y + 2 · low(x) · low(y).
#[inline]
#[target_feature(enable = "avx512f")]
fn multiply_add(x: __m512i, y: __m512i) -> __m512i {
    let product = _mm512_mul_epu32(x, y);
    _mm512_add_epi64(_mm512_add_epi64(x, y), _mm512_add_epi64(product, product))
}
