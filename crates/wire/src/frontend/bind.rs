//! The parts of Bind that Weir reads: result formats where it answers itself, and values that tell
//! what a statement sets.

use crate::{MessageError, cursor::Cursor, ftag};

/// How a client wants the columns of a result encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Formats {
    /// Text for every column; also when nothing was said.
    Text,
    /// Binary for every column.
    Binary,
    /// One code for each of so many columns: an error for a one-column answer.
    PerColumn(u16),
}

/// Reads the result formats from a Bind's `rest`, past its parameters.
///
/// # Errors
///
/// [`MessageError`] when the layout is wrong or a code is neither 0 nor 1: answer
/// 08P01, as the server would.
pub fn bind_result_formats(rest: &[u8]) -> Result<Formats, MessageError> {
    let malformed = |what| MessageError::Malformed { tag: ftag::BIND, what };
    let (count, codes) =
        result_codes(rest).ok_or(malformed("a parameter or format is missing or cut off"))?;
    if codes.as_chunks::<2>().0.iter().any(|code| u16::from_be_bytes(*code) > 1) {
        return Err(malformed("a result format is neither 0 nor 1"));
    }
    Ok(match (count, codes) {
        (0, _) | (1, [0, 0]) => Formats::Text,
        (1, _) => Formats::Binary,
        (count, _) => Formats::PerColumn(count),
    })
}

/// The values in a Bind's `rest`, in order; `None` is NULL. Values of text types are the same bytes
/// in both formats.
///
/// Ends early where the layout is wrong: the server refuses such a message.
pub fn bind_values(rest: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut cursor = Cursor::new(rest);
    let formats = cursor.u16().and_then(|count| usize::from(count).checked_mul(2));
    let count = formats.and_then(|formats| cursor.take(formats)).and_then(|_| cursor.u16());
    (0..count.unwrap_or_default()).map_while(move |_| match cursor.i32()? {
        -1 => Some(None),
        length => cursor.take(usize::try_from(length).ok()?).map(Some),
    })
}

fn result_codes(rest: &[u8]) -> Option<(u16, &[u8])> {
    let mut cursor = Cursor::new(rest);
    let parameter_formats = cursor.u16()?;
    cursor.take(usize::from(parameter_formats).checked_mul(2)?)?;
    for _ in 0..cursor.u16()? {
        match cursor.i32()? {
            -1 => {}
            length => {
                cursor.take(usize::try_from(length).ok()?)?;
            }
        }
    }
    let count = cursor.u16()?;
    let codes = cursor.take(usize::from(count).checked_mul(2)?)?;
    cursor.is_empty().then_some((count, codes))
}
