//! Any bytes: the scanner ends, and comments, blanks and its seed change nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sql::Scanner;

fuzz_target!(|bytes: &[u8]| {
    let scanner = Scanner::new([1, 2]);
    let scan = scanner.scan(bytes);
    assert_eq!(scan, scanner.scan(bytes));
    assert_eq!(scan.malformed, Scanner::new([3, 4]).scan(bytes).malformed);
    if scan.malformed {
        // PostgreSQL refuses the text, whatever stands around it.
        return;
    }
    let around = [b"\t/* ' /* \" */ $$ */--;\r".as_slice(), bytes, b"\n-- ' \n/* ; */"].concat();
    assert_eq!(scan, scanner.scan(&around));
    let twice = [bytes, b"\n;\n", bytes].concat();
    assert!(!scanner.scan(&twice).malformed);
    assert_ne!(scan.fingerprint, scanner.scan(&twice).fingerprint);
});
