//! What is drawn for a fault: the same for the same seed, whatever else goes on.

use crate::traffic::Way;

/// A generator of its own for each fault of each conversation and way: SplitMix64 (Steele, Lea, Flood, 2014), whose
/// state is one word, since there is one for each of thousands of connections. Its beginning is a BLAKE3 hash of whose
/// it is.
pub(crate) struct Draw(u64);

impl Draw {
    /// That of a fault in one way of a conversation, or in the conversation as a whole.
    pub(crate) fn new(seed: u64, flow: u64, fault: &str, way: Option<Way>) -> Self {
        let mut hasher = blake3::Hasher::new();
        let way = match way {
            None => 0,
            Some(Way::Up) => 1,
            Some(Way::Down) => 2,
        };
        hasher.update(&seed.to_le_bytes()).update(&flow.to_le_bytes()).update(&[way]).update(fault.as_bytes());
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        Self(u64::from_le_bytes(first))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number from 0 up to 1, without 1.
    pub(super) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether what happens to that share happens now.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.share() < share
    }

    /// A number from 0 to `most`.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        ((u128::from(self.next()) * (u128::from(most) + 1)) >> 64) as u64
    }
}
