//! Texts that nearly mean what another one meant.

use fastrand::Rng;

/// Changes `tokens` in a few places; `donor` gives what is put in.
pub fn mutate(rng: &mut Rng, tokens: &mut Vec<String>, donor: &[String]) {
    for _ in 0..rng.u32(1..=3) {
        let at = rng.usize(0..=tokens.len());
        let end = tokens.len().min(at + rng.usize(1..=3));
        match rng.u32(0..6) {
            0 => drop(tokens.drain(at..end)),
            1 => {
                let copied = tokens[at..end].to_vec();
                let to = rng.usize(0..=tokens.len());
                tokens.splice(to..to, copied);
            }
            2 if tokens.len() > 1 => {
                let (one, other) = (rng.usize(0..tokens.len()), rng.usize(0..tokens.len()));
                tokens.swap(one, other);
            }
            _ if donor.is_empty() => {}
            3 if at < tokens.len() => tokens[at].clone_from(&donor[rng.usize(0..donor.len())]),
            _ => {
                let from = rng.usize(0..donor.len());
                let to = donor.len().min(from + rng.usize(1..=8));
                tokens.splice(at..end, donor[from..to].iter().cloned());
            }
        }
    }
}
