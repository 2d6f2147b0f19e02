//! Figures with the goals that they have.

use crate::terminal;

/// What was measured against goals.
#[derive(Debug, Default)]
pub struct Goals {
    missed: Vec<String>,
}

impl Goals {
    /// A figure that must be at least so much.
    pub fn at_least(&mut self, what: &str, figure: f64, goal: f64) {
        self.told(what, figure, figure >= goal, &format!("at least {goal}"));
    }

    /// A figure that must be at most so much.
    pub fn at_most(&mut self, what: &str, figure: f64, goal: f64) {
        self.told(what, figure, figure <= goal, &format!("at most {goal}"));
    }

    fn told(&mut self, what: &str, figure: f64, is_met: bool, goal: &str) {
        let verdict = if is_met { "met" } else { "MISSED" };
        let line = format!("  {what}: {figure:.2} (goal: {goal}) {verdict}");
        terminal::say(&line);
        if !is_met {
            self.missed.push(line);
        }
    }

    /// Says which goals were missed.
    pub fn end(&self) {
        if self.missed.is_empty() {
            terminal::say("all goals are met");
        } else {
            terminal::say(&format!("{} goals were missed:", self.missed.len()));
            self.missed.iter().for_each(|line| terminal::say(line));
        }
    }
}
