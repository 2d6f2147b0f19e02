//! The steps in which deleted data goes: each is so small that others who write wait little.

use std::time::Duration;
use tokio::time::Instant;

/// How many rows a step empties at most.
const STEP_MAX: u32 = 500;
/// How many rows the first step empties.
const STEP_FIRST: u32 = 50;
/// How long a step should take. Others who write wait for so long.
const STEP_GOAL: Duration = Duration::from_millis(100);

/// How many rows a step empties. Rows may be large, so this depends on how long earlier steps took.
pub(crate) struct EmptyingStep {
    rows: u32,
    begun: Instant,
}

impl EmptyingStep {
    pub(crate) fn first() -> Self {
        Self { rows: STEP_FIRST, begun: Instant::now() }
    }

    /// Begins a step. Returns how many rows it empties.
    pub(crate) fn begin(&mut self) -> u32 {
        self.begun = Instant::now();
        self.rows
    }

    /// Ends a step.
    pub(crate) fn end(&mut self) {
        self.rows = next_step(self.rows, self.begun.elapsed());
    }
}

/// How many rows the next step empties, after a step of `rows` took so long.
fn next_step(rows: u32, took: Duration) -> u32 {
    if took > STEP_GOAL {
        (rows / 2).max(1)
    } else if took < STEP_GOAL / 4 {
        (rows * 2).min(STEP_MAX)
    } else {
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_about_as_long_as_it_is_to_take() {
        let ms = Duration::from_millis;
        #[rustfmt::skip]
        let table = [
            (50,  ms(1),    100),
            (400, ms(1),    500),
            (500, ms(1),    500),
            (100, ms(60),   100),
            (100, ms(101),  50),
            (1,   ms(5000), 1),
        ];
        for (rows, took, want) in table {
            assert_eq!(next_step(rows, took), want, "{rows} {took:?}");
        }
    }
}
