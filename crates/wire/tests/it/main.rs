//! The protocol by its public API: what is written reads back, at every edge.

#![cfg_attr(
    test,
    expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test, as it should")
)]

#[cfg(test)]
mod backend;
#[cfg(test)]
mod frame;
#[cfg(test)]
mod frontend;
#[cfg(test)]
mod garbage;
#[cfg(test)]
mod reply;
#[cfg(test)]
mod scram;
#[cfg(test)]
mod startup;

#[cfg(test)]
mod common {
    //! What the other modules draw values from.

    use proptest::{collection::vec, prelude::*};

    /// Bytes without a NUL: what a C string holds.
    pub(crate) fn cstr() -> impl Strategy<Value = Vec<u8>> {
        vec(1..=255_u8, 0..40)
    }

    /// Any bytes.
    pub(crate) fn bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(any::<u8>(), 0..200)
    }

    /// The frame that is all of `bytes`.
    pub(crate) fn only_frame(bytes: &[u8]) -> wire::Frame<'_> {
        let (frame, rest) = wire::next_frame(bytes, usize::MAX).unwrap().unwrap();
        assert!(rest.is_empty(), "{} bytes after the frame", rest.len());
        frame
    }
}
