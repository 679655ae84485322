//! Makes a text that shows a fault as short as it can be.

/// Leaves out tokens as long as what is left is still `faulty`.
pub fn shrink(mut tokens: Vec<String>, faulty: impl Fn(&str) -> bool) -> String {
    let mut run = tokens.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut shorter = false;
        while at < tokens.len() {
            let end = tokens.len().min(at + run);
            let mut left = tokens.clone();
            left.drain(at..end);
            if faulty(&left.join(" ")) {
                tokens = left;
                shorter = true;
            } else {
                at = end;
            }
        }
        if run == 1 && !shorter {
            return tokens.join(" ");
        }
        run = run.div_ceil(2);
    }
}

#[cfg(test)]
mod tests {
    use super::shrink;

    #[test]
    fn what_is_not_needed_goes() {
        let tokens = "a b c d e f g".split(' ').map(str::to_owned).collect();
        assert_eq!(shrink(tokens, |text| text.contains('b') && text.contains('f')), "b f");
    }
}
