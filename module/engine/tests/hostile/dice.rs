//! Random numbers with a seed: splitmix64 (Steele, Lea, Flood 2014).

pub struct Dice(pub u64);

impl Dice {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A number at which something may turn over, or one near `near`.
    pub fn edge(&mut self, near: u64) -> u64 {
        const EDGES: [u64; 14] = [0, 1, 2, 63, 64, 127, 128, 255, 511, 512, 16_384, 1 << 32, 1 << 53, u64::MAX];
        match self.below(8) {
            0 => near.wrapping_add(1),
            1 => near.wrapping_sub(1),
            2 => near >> 1,
            3 => (1 << 53) - 1,
            4 => self.number() >> self.below(64),
            _ => EDGES[self.below(EDGES.len())].wrapping_sub(u64::from(self.one_in(4))),
        }
    }
}
