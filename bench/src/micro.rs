//! What `wire`, `sql` and `policy` do on a cycle's path, one call at a time.
//!
//! Timed by `make microbench`, counted in instructions by `make instructions`.

mod reading;
mod routing;
mod wiring;

use std::fmt;

/// One piece of work that can be done any number of times.
pub struct Work {
    /// Unique among all.
    pub name: String,
    /// How much it reads, if that matters.
    pub bytes: Option<usize>,
    /// What [`run`](Self::run) answers if it did what it should.
    pub answer: usize,
    call: Box<dyn FnMut() -> usize>,
}

impl Work {
    fn new(name: &str, answer: usize, call: impl FnMut() -> usize + 'static) -> Self {
        Self { name: name.to_owned(), bytes: None, answer, call: Box::new(call) }
    }

    fn reading(self, bytes: usize) -> Self {
        Self { bytes: Some(bytes), ..self }
    }

    /// Does it once.
    pub fn run(&mut self) -> usize {
        (self.call)()
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All of it.
#[must_use]
pub fn all() -> Vec<Work> {
    [wiring::all(), reading::all(), routing::all()].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_work_is_done_and_done_again() {
        for mut work in all() {
            for _ in 0..3 {
                assert_eq!(work.run(), work.answer, "{}", work.name);
            }
        }
    }

    #[test]
    fn no_two_have_one_name() {
        let mut names: Vec<_> = all().into_iter().map(|work| work.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
