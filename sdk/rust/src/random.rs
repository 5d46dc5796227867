//! Numbers and ids that are the same in every replay of a run: SHA-256 over its seed and a counter.

use sha2::{Digest, Sha256};

/// The numbers of one run, in the order they are drawn.
pub struct Dice {
    seed: String,
    drawn: u64,
}

impl Dice {
    pub fn new(seed: &str) -> Self {
        Self { seed: seed.to_owned(), drawn: 0 }
    }

    fn draw(&mut self) -> u128 {
        let digest = Sha256::new().chain_update(&self.seed).chain_update(self.drawn.to_be_bytes()).finalize();
        self.drawn += 1;
        digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
    }

    /// A number of at least 0 and below 1, with 53 random bits.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn fraction(&mut self) -> f64 {
        ((self.draw() >> 75) as f64) / (1_u64 << 53) as f64
    }

    /// A random UUID (RFC 9562, version 4).
    pub fn uuid(&mut self) -> String {
        let bits = self.draw();
        let bits = bits & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let hex = format!("{bits:032x}");
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again_and_another_gives_others() {
        let draw = |seed| {
            let mut dice = Dice::new(seed);
            (dice.fraction(), dice.fraction(), dice.uuid())
        };
        let (first, second, id) = draw("00");
        assert_eq!(draw("00"), (first, second, id.clone()));
        assert_ne!(draw("01").0, first);
        assert_ne!(first, second);
        assert!((0.0..1.0).contains(&first));
        assert_eq!((&id[14..15], id.len()), ("4", 36));
        assert!("89ab".contains(&id[19..20]), "{id}");
    }
}
