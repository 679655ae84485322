//! SipHash-2-4 with 128 bits of output (Aumasson and Bernstein): short, fast, and not to be forged without its key.

/// A hash in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sip {
    state: [u64; 4],
    word: u64,
    filled: u32,
    length: u64,
}

impl Sip {
    pub(super) const fn new(key: [u64; 2]) -> Self {
        let [k0, k1] = key;
        let state = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { state, word: 0, filled: 0, length: 0 }
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.word |= u64::from(byte).wrapping_shl(self.filled);
        self.filled = self.filled.wrapping_add(8);
        self.length = self.length.wrapping_add(1);
        if self.filled == 64 {
            let word = std::mem::take(&mut self.word);
            self.filled = 0;
            self.compress(word);
        }
    }

    /// Takes bytes, eight at once.
    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        for eight in bytes.chunks(8) {
            self.eight(gathered(eight), eight.len());
        }
    }

    /// Takes bytes, those of ASCII's capital letters as small ones.
    #[inline]
    pub(super) fn lower(&mut self, bytes: &[u8]) {
        for eight in bytes.chunks(8) {
            self.eight(small(gathered(eight)), eight.len());
        }
    }

    /// Takes the lowest `count` bytes, eight at most, of a word, of which the others are 0.
    #[inline]
    fn eight(&mut self, word: u64, count: usize) {
        let free = 64_u32.wrapping_sub(self.filled);
        self.word |= word.wrapping_shl(self.filled);
        self.length = self.length.wrapping_add(count as u64);
        let bits = u32::try_from(count).unwrap_or(8).wrapping_mul(8);
        self.filled = self.filled.wrapping_add(bits);
        if self.filled >= 64 {
            let full = self.word;
            self.filled = self.filled.wrapping_sub(64);
            self.word = word.checked_shr(free).unwrap_or(0);
            self.compress(full);
        }
    }

    fn compress(&mut self, word: u64) {
        let [_, _, _, v3] = &mut self.state;
        *v3 ^= word;
        self.rounds::<2>();
        let [v0, ..] = &mut self.state;
        *v0 ^= word;
    }

    #[inline]
    fn rounds<const N: usize>(&mut self) {
        let [mut v0, mut v1, mut v2, mut v3] = self.state;
        for _ in 0..N {
            v0 = v0.wrapping_add(v1);
            v1 = v1.rotate_left(13) ^ v0;
            v0 = v0.rotate_left(32);
            v2 = v2.wrapping_add(v3);
            v3 = v3.rotate_left(16) ^ v2;
            v0 = v0.wrapping_add(v3);
            v3 = v3.rotate_left(21) ^ v0;
            v2 = v2.wrapping_add(v1);
            v1 = v1.rotate_left(17) ^ v2;
            v2 = v2.rotate_left(32);
        }
        self.state = [v0, v1, v2, v3];
    }

    const fn fold(&self) -> u64 {
        let [v0, v1, v2, v3] = self.state;
        v0 ^ v1 ^ v2 ^ v3
    }

    pub(super) fn finish(mut self) -> u128 {
        let last = self.word | (self.length & 0xff).wrapping_shl(56);
        self.compress(last);
        let [_, _, v2, _] = &mut self.state;
        *v2 ^= 0xee;
        self.rounds::<4>();
        let low = self.fold();
        let [_, v1, _, _] = &mut self.state;
        *v1 ^= 0xdd;
        self.rounds::<4>();
        u128::from(self.fold()) << 64 | u128::from(low)
    }
}

/// Up to eight bytes as a word, the first lowest.
#[inline]
fn gathered(eight: &[u8]) -> u64 {
    if let Some(eight) = eight.first_chunk() {
        return u64::from_le_bytes(*eight);
    }
    // Two halves that may overlap: what both hold is the same.
    if let (Some(low), Some(high)) = (eight.first_chunk(), eight.last_chunk()) {
        let above = u32::try_from(eight.len()).unwrap_or(4).wrapping_sub(4).wrapping_mul(8);
        let high = u64::from(u32::from_le_bytes(*high)).wrapping_shl(above);
        return u64::from(u32::from_le_bytes(*low)) | high;
    }
    eight.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Turns on bit 5 of each byte from `A` to `Z`.
const fn small(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = word & EACH.wrapping_mul(0x7f);
    // Bit 7 of each byte tells: from A (0x41) on; beyond Z (0x5a); not of ASCII.
    let from_a = low.wrapping_add(EACH.wrapping_mul(0x3f));
    let beyond_z = low.wrapping_add(EACH.wrapping_mul(0x25));
    word | ((from_a & !beyond_z & !word & EACH.wrapping_mul(0x80)) >> 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Sip;

    proptest! {
        #[test]
        fn eight_bytes_at_once_are_eight_bytes(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6)) {
            let (mut single, mut whole, mut small) = (Sip::new([1, 2]), Sip::new([1, 2]), Sip::new([1, 2]));
            let mut lower = Sip::new([1, 2]);
            for part in &parts {
                for byte in part {
                    single.byte(*byte);
                    small.byte(byte.to_ascii_lowercase());
                }
                whole.bytes(part);
                lower.lower(part);
                for sip in [&mut single, &mut whole, &mut small, &mut lower] {
                    sip.byte(7);
                }
            }
            prop_assert_eq!(single.finish(), whole.finish());
            prop_assert_eq!(small.finish(), lower.finish());
        }
    }

    /// Key 00 01 … 0f, input 00 01 … of the reference's `vectors_sip128`.
    fn of(length: u8) -> [u8; 16] {
        let mut sip = Sip::new([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
        (0..length).for_each(|byte| sip.byte(byte));
        sip.finish().to_le_bytes()
    }

    #[test]
    fn agrees_with_the_reference_vectors() {
        assert_eq!(
            of(0),
            [
                0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55,
                0x02, 0x93
            ]
        );
        assert_eq!(
            of(1),
            [
                0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22,
                0xfc, 0x45
            ]
        );
    }
}
