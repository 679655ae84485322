//! The md5 password answer ("MD5 password" in the manual): legacy servers only.

use md5::{Digest as _, Md5};

/// What to send when a server asks for `AuthenticationMD5Password` with `salt`.
///
/// `md5(md5(password + user) + salt)`, in hex, behind the word `md5`; send it
/// with [`put_password`](crate::put_password).
#[must_use]
pub fn md5_password(user: &str, password: &str, salt: [u8; 4]) -> String {
    let inner = hex(&[password.as_bytes(), user.as_bytes()]);
    let outer = hex(&[inner.as_bytes(), &salt]);
    format!("md5{outer}")
}

fn hex(parts: &[&[u8]]) -> String {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    let mut text = String::with_capacity(32);
    for byte in hash.finalize() {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::md5_password;

    #[test]
    fn answer_equals_what_postgres_computes() {
        // SELECT 'md5' || md5(md5('secret' || 'app') || E'\x01\x02\x03\x04');
        assert_eq!(
            md5_password("app", "secret", [1, 2, 3, 4]),
            "md5911f527656472583a006e7727877b33e"
        );
    }
}
