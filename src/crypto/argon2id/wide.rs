//! RFC 9106 §3.2 — filling the memory with a compression function of our own.

use argon2::Block;
use blake2::{
    Blake2b512, Blake2bVarCore, Digest,
    digest::{
        block_api::{UpdateCore, VariableOutputCore},
        block_buffer::LazyBuffer,
    },
};
use zeroize::Zeroize;

use super::{
    super::avx512::{Avx512, BlockStep, WORDS},
    Input,
};

/// RFC 9106 §3.4: synchronization points, that is slices of a lane.
const SLICES: usize = 4;
/// RFC 9106 §3.1: the type y, 2 for Argon2id.
const ARGON2ID: u32 = 2;
/// RFC 9106 §3.1: the version number v.
const VERSION: u32 = 0x13;

/// Fills `memory`, which has exactly as many blocks as the parameters ask for, and gives the tag.
pub(super) fn hash(
    kernel: Avx512,
    input: Input<'_>,
    params: &argon2::Params,
    memory: &mut [Block],
    tag: &mut [u8],
) {
    let lanes = params.p_cost() as usize;
    let shape = MemoryShape { lanes, lane: memory.len() / lanes, passes: params.t_cost() as usize };
    begin(memory, &shape, &mut first(input, params, tag.len()));
    for pass in 0..shape.passes {
        for slice in 0..SLICES {
            for lane in 0..shape.lanes {
                Segment { pass, slice, lane, shape }.fill(kernel, memory);
            }
        }
    }
    finish(memory, &shape, tag);
}

/// The memory as a matrix.
#[derive(Clone, Copy)]
struct MemoryShape {
    lanes: usize,
    /// Blocks in a lane (q).
    lane: usize,
    passes: usize,
}

impl MemoryShape {
    fn segment(&self) -> usize {
        self.lane / SLICES
    }
}

/// RFC 9106 §3.2 step 1: H0.
fn first(input: Input<'_>, params: &argon2::Params, tag: usize) -> [u8; 64] {
    let mut digest = Blake2b512::new();
    let length =
        |length: usize| u32::try_from(length).expect("the callers' bounds are far below").to_le_bytes();
    digest.update(params.p_cost().to_le_bytes());
    digest.update(length(tag));
    for number in [params.m_cost(), params.t_cost(), VERSION, ARGON2ID] {
        digest.update(number.to_le_bytes());
    }
    for bytes in [input.password, input.salt, input.secret, params.data()] {
        digest.update(length(bytes.len()));
        digest.update(bytes);
    }
    digest.finalize().into()
}

/// RFC 9106 §3.2 steps 3 and 4: the first two blocks of each lane.
fn begin(memory: &mut [Block], shape: &MemoryShape, first: &mut [u8; 64]) {
    let mut bytes = [0; Block::SIZE];
    for (lane, blocks) in (0_u32..).zip(memory.chunks_exact_mut(shape.lane)) {
        for (column, block) in (0_u32..2).zip(blocks) {
            long(&[first.as_slice(), &column.to_le_bytes(), &lane.to_le_bytes()], &mut bytes);
            for (word, bytes) in block.as_mut().iter_mut().zip(bytes.as_chunks::<8>().0) {
                *word = u64::from_le_bytes(*bytes);
            }
        }
    }
    bytes.zeroize();
    first.zeroize();
}

/// RFC 9106 §3.2 step 7: the last blocks added up, and their hash.
fn finish(memory: &[Block], shape: &MemoryShape, tag: &mut [u8]) {
    let mut sum = Block::new();
    for last in memory.chunks_exact(shape.lane).filter_map(<[Block]>::last) {
        sum ^= last;
    }
    let mut bytes = [0; Block::SIZE];
    for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(sum.as_ref()) {
        *bytes = word.to_le_bytes();
    }
    long(&[&bytes], tag);
    bytes.zeroize();
    sum.zeroize();
}

/// RFC 9106 §3.3: H', BLAKE2b of any length.
fn long(inputs: &[&[u8]], out: &mut [u8]) {
    let length = u32::try_from(out.len()).expect("the callers' bounds are far below").to_le_bytes();
    let inputs = || std::iter::once(length.as_slice()).chain(inputs.iter().copied());
    if out.len() <= 64 {
        return short(inputs(), out);
    }
    let mut digest = [0; 64];
    short(inputs(), &mut digest);
    let mut rest = out;
    loop {
        let (half, more) = rest.split_at_mut(32);
        half.copy_from_slice(&digest[..32]);
        rest = more;
        if rest.len() <= 64 {
            break;
        }
        let before = digest;
        short(std::iter::once(before.as_slice()), &mut digest);
    }
    short(std::iter::once(digest.as_slice()), rest);
    digest.zeroize();
}

/// BLAKE2b of up to 64 bytes.
fn short<'a>(inputs: impl Iterator<Item = &'a [u8]>, out: &mut [u8]) {
    let mut hash = Blake2bVarCore::new(out.len()).expect("1 to 64 bytes");
    let mut buffer = LazyBuffer::default();
    inputs.for_each(|bytes| buffer.digest_blocks(bytes, |blocks| hash.update_blocks(blocks)));
    let mut whole = Default::default();
    hash.finalize_variable_core(&mut buffer, &mut whole);
    out.copy_from_slice(&whole[..out.len()]);
    whole.as_mut_slice().zeroize();
}

/// One segment: the part of a lane between two synchronization points.
struct Segment {
    pass: usize,
    slice: usize,
    lane: usize,
    shape: MemoryShape,
}

impl Segment {
    fn fill(&self, kernel: Avx512, memory: &mut [Block]) {
        let (length, segment) = (self.shape.lane, self.shape.segment());
        let mut addresses = self.addresses(memory.len());
        let mut refer = |word: u64, index: usize| {
            let random = addresses.as_mut().map_or(word, |addresses| addresses.at(kernel, index));
            self.reference(random, index)
        };
        // The first two blocks of each lane are there already.
        let begun = if self.pass == 0 && self.slice == 0 { 2 } else { 0 };
        let start = self.lane * length;
        let mut column = self.slice * segment + begun;
        let mut previous = start + if column == 0 { length - 1 } else { column - 1 };
        let mut reference = refer(memory[previous].as_ref()[0], begun);
        for index in begun..segment {
            let step = BlockStep { previous, reference, current: start + column, add: self.pass > 0 };
            reference = kernel.step(memory, step, |word| match index + 1 {
                after if after < segment => refer(word, after),
                // The next segment asks for itself.
                _ => 0,
            });
            (previous, column) = (start + column, column + 1);
        }
    }

    /// RFC 9106 §3.4.1.3: the first half of the first pass does not depend on the password.
    fn addresses(&self, blocks: usize) -> Option<AddressBlock> {
        let independent = self.pass == 0 && self.slice < SLICES / 2;
        independent.then(|| {
            let mut input = Block::new();
            let place = [self.pass, self.lane, self.slice, blocks, self.shape.passes, ARGON2ID as usize];
            for (word, number) in input.as_mut().iter_mut().zip(place) {
                *word = number as u64;
            }
            AddressBlock { input, block: Block::new() }
        })
    }

    /// RFC 9106 §3.4.2: from the two random numbers to a block.
    fn reference(&self, random: u64, index: usize) -> usize {
        let MemoryShape { lanes, lane: length, .. } = self.shape;
        let segment = self.shape.segment();
        let lane = match (self.pass, self.slice) {
            // No other lane has anything yet.
            (0, 0) => self.lane,
            // Divisions are slow, and most have one lane.
            _ if lanes == 1 => 0,
            _ => (random >> 32) as usize % lanes,
        };
        let finished = if self.pass == 0 { self.slice * segment } else { length - segment };
        let area = match lane == self.lane {
            true => finished + index - 1,
            false => finished - usize::from(index == 0),
        };
        let x = (random & u64::from(u32::MAX)).pow(2) >> 32;
        let back = ((area as u64 * x) >> 32) as usize;
        let start = if self.pass == 0 { 0 } else { (self.slice + 1) * segment };
        let mut column = start + area - 1 - back;
        // At most once round the lane, twice if it began at its end.
        while column >= length {
            column -= length;
        }
        lane * length + column
    }
}

/// RFC 9106 §3.4.1.2: random numbers that come from a counter.
struct AddressBlock {
    input: Block,
    block: Block,
}

impl AddressBlock {
    fn at(&mut self, kernel: Avx512, index: usize) -> u64 {
        let place = index % WORDS;
        // The first segment begins with its third block.
        if place == 0 || self.input.as_ref()[6] == 0 {
            self.input.as_mut()[6] += 1;
            let zero = Block::new();
            self.block = kernel.compress(&zero, &kernel.compress(&zero, &self.input));
        }
        self.block.as_ref()[place]
    }
}
