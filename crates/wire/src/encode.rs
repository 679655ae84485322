//! Writes the parts of a message; every encoder of this crate is made of these.

/// Appends a message: `tag`, the length, and what `body` appends.
///
/// A body too long for the length field can't be held in any buffer Weir allows;
/// its length saturates, so that the receiver refuses it.
pub(crate) fn message(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    untagged(out, body);
}

/// Appends a length and what `body` appends: a message before the first tag.
pub(crate) fn untagged(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = out.len().saturating_sub(start);
    let length = i32::try_from(length).unwrap_or(i32::MAX);
    if let Some(field) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *field = length.to_be_bytes();
    }
}

/// Appends bytes and a NUL, unchanged: they came from a C string, or the receiver
/// must see that they didn't.
pub(crate) fn cstr(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.push(0);
}

/// Appends text and a NUL, cut at a NUL of its own, which would start another field.
pub(crate) fn text(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    cstr(out, text.get(..end).unwrap_or_default());
}

/// Appends a 16-bit count; what exceeds it must not be written.
pub(crate) fn count(out: &mut Vec<u8>, count: usize) -> usize {
    let fits = u16::try_from(count).unwrap_or(u16::MAX);
    out.extend_from_slice(&fits.to_be_bytes());
    usize::from(fits)
}
