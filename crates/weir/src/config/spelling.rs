//! Which word was meant?

/// The known word that a typing mistake is most likely to stand for.
pub(super) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let close = known.map(|word| (distance(typed, word), word));
    let (distance, word) = close.min()?;
    // Two mistakes in a long word are a slip, in a short one they are another word.
    (distance <= 1 || (distance == 2 && word.len() >= 5)).then_some(word)
}

/// Edit distance with transpositions of neighbours, on bytes.
fn distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut older: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.iter().enumerate() {
        let mut line = vec![row.saturating_add(1)];
        for (column, to) in right.iter().enumerate() {
            let cell = |line: &[usize], back: usize| {
                let at = column.saturating_add(1).checked_sub(back);
                at.and_then(|at| line.get(at)).copied().unwrap_or(usize::MAX)
            };
            let swapped = row > 0
                && column > 0
                && left.get(row.wrapping_sub(1)) == Some(to)
                && right.get(column.wrapping_sub(1)) == Some(from);
            let swap = if swapped { cell(&older, 2) } else { usize::MAX };
            let replace = cell(&above, 1).saturating_add(usize::from(from != to));
            let edit = cell(&above, 0).min(cell(&line, 1)).saturating_add(1);
            line.push(replace.min(edit).min(swap.saturating_add(1)));
        }
        older = above;
        above = line;
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_word() {
        assert_eq!(nearest("max_lga", ["max_lag", "scope"].into_iter()), Some("max_lag"));
        assert_eq!(nearest("consistancy", ["consistency"].into_iter()), Some("consistency"));
        assert_eq!(nearest("host", ["port"].into_iter()), None);
        assert_eq!(nearest("x", std::iter::empty()), None);
    }
}
