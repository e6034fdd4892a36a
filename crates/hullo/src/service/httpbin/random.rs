//! Randomness: the system's, or out of a seed. For a seed it is what Python makes of it, and so the same as httpbin's.

use aws_lc_rs::rand;
use rand_mt::Mt;

use crate::error::{Error, Kind, Result};

/// Bytes that nobody can guess.
pub(super) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Error::new(Kind::Other, "this system has no randomness"))?;
    Ok(bytes)
}

/// Python's `random.Random`.
pub(super) struct Random(Mt);

impl Random {
    /// By the number that a client gives as a seed, or by the system.
    pub(super) fn seeded(seed: Option<&str>) -> Result<Self> {
        let seed = match seed {
            None => u128::from_ne_bytes(bytes()?),
            Some(text) => {
                let number = text.trim().trim_start_matches(['-', '+']).parse();
                number.map_err(|_| Error::usage(format!("seed={text} is not a whole number of up to 38 digits")))?
            }
        };
        let digits = (0..4).map(|at| (seed >> (32 * at)) as u32);
        let length = (4 - seed.leading_zeros() as usize / 32).max(1);
        Ok(Self(Mt::new_with_key(digits.take(length))))
    }

    /// As `randint(0, 255)` draws it: nine bits, until they are no more than eight.
    pub(super) fn byte(&mut self) -> u8 {
        loop {
            if let Ok(byte) = u8::try_from(self.0.next_u32() >> 23) {
                return byte;
            }
        }
    }

    /// As `random()` draws it: from 0 up to but not 1.
    pub(super) fn share(&mut self) -> f64 {
        let (high, low) = (self.0.next_u32() >> 5, self.0.next_u32() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python prints for `random.seed(S); bytes(random.randint(0, 255) for i in range(8)).hex(), random.random()`.
    #[test]
    fn a_seed_gives_what_python_gives() {
        for (seed, bytes, share) in PYTHON {
            let mut random = Random::seeded(Some(seed)).unwrap();
            let drawn: Vec<u8> = (0..8).map(|_| random.byte()).collect();
            assert_eq!((&*drawn, random.share()), (bytes.as_slice(), *share), "{seed}");
        }
    }

    #[test]
    fn without_a_seed_nothing_repeats() {
        let draw = || -> Vec<u8> {
            let mut random = Random::seeded(None).unwrap();
            (0..16).map(|_| random.byte()).collect()
        };
        assert_ne!(draw(), draw());
    }

    const PYTHON: &[(&str, [u8; 8], f64)] = &[
        ("0", [197, 215, 20, 132, 248, 207, 155, 244], 0.3580493746949883),
        ("1", [68, 32, 130, 60, 253, 230, 241, 194], 0.7887233511355132),
        ("-1", [68, 32, 130, 60, 253, 230, 241, 194], 0.7887233511355132),
        ("42", [57, 12, 140, 125, 114, 71, 52, 44], 0.5904925124490397),
        ("4294967296", [57, 179, 213, 8, 11, 169, 231, 7], 0.1380847623629401),
        ("12345678901234567890123", [80, 67, 200, 101, 185, 32, 115, 212], 0.5117922743141905),
    ];
}
