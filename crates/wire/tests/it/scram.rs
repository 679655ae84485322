//! Password exchanges: the RFC's own, those of real servers, and attacks.

use proptest::prelude::*;
use wire::{ClientExchange, Credentials, MAX_ITERATIONS, ScramError, ServerExchange, Verifier};

const SALT: &[u8] = &[
    0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81,
];
const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

fn password(text: &str) -> Credentials {
    Credentials::Password(text.to_owned())
}

/// Runs an exchange, both sides by this crate.
fn exchange(verifier: &Verifier, credentials: Credentials) -> Result<Credentials, ScramError> {
    let (client, first) = ClientExchange::start(credentials, "client");
    let (server, challenge) = ServerExchange::start(&first, verifier, "server")?;
    let (client, proof) = client.respond(&challenge)?;
    let (client_key, last) = server.finish(&proof)?;
    client.verify(&last)?;
    Ok(Credentials::ClientKey { client_key, server_key: verifier.server_key().clone() })
}

#[test]
fn the_server_answers_the_example_of_rfc_7677() {
    let verifier = Verifier::from_password("pencil", SALT, 4096);
    let first = format!("n,,n=user,r={CLIENT_NONCE}");
    let (server, challenge) =
        ServerExchange::start(first.as_bytes(), &verifier, SERVER_NONCE).unwrap();
    let nonce = format!("{CLIENT_NONCE}{SERVER_NONCE}");
    let expected = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    assert_eq!(String::from_utf8_lossy(&challenge), expected);
    let last = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    let (_, answer) = server.finish(last.as_bytes()).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn passwords_make_the_verifiers_that_postgres_15_makes() {
    // From pg_authid after CREATE ROLE … PASSWORD: plain, mapped by SASLprep, and four
    // that SASLprep forbids (control character, nothing left, mixed direction,
    // unassigned in Unicode 3.2), which count as they are.
    for (password, rolpassword) in [
        (
            "pencil",
            "SCRAM-SHA-256$4096:JlhVTqOwq53uGlqtOOTdGg==$BuyJP1+4OVgfB/4+7LXkeR4yieBA726+c9AmsUl8//k=:lXuVi294IEcR609RAehZP8OGFQDRr9noCeva97DccdU=",
        ),
        (
            "I\u{ad}X\u{2168}",
            "SCRAM-SHA-256$4096:yFteh3jna3HHCaZPanZlGA==$gkjegZZYrUBpH1bvHzkgKhcjAYBz60aUMg6NMzjRi9I=:NCjrW5AeLaSNaZNLXRMHWIbn6XFTOPiwW/Y03XIT054=",
        ),
        (
            "é\u{a0}x",
            "SCRAM-SHA-256$4096:HYsMZEO382b+T1HOndjMFg==$F6XjJteMCX87uRn5+KFOk45eVtaNlB/dib7pH/pU4To=:PFpnoLmSA2f5Dxr37zL3WDiUdHCmG2gQgL6eUKTqeg0=",
        ),
        (
            "bell\u{7}",
            "SCRAM-SHA-256$4096:WDzs9obm/pgy21o8cYSYng==$tGS+KTT4bJmPRB0y95k5e6wxnv5BLCJsl8DxdsyKWBI=:wEHW8Gb/vc8iSLt0SQs5z5GtODOV+mDI+/57QxjqrZE=",
        ),
        (
            "\u{ad}",
            "SCRAM-SHA-256$4096:h7fcAOesja29eydWS+KbVA==$U05JboprxNMbiXqtqCP39C5ki2TM7NmZlzOqqfwqxJ0=:arRF5uH74EozqdXEtDbiGF9BF1u+9tLhANrmUPN8s2M=",
        ),
        (
            "\u{627}1",
            "SCRAM-SHA-256$4096:8xKhabt9KynF9iY7rZj7mA==$U3ow5aMIAjrgoUgIoBcaeCOziVgV3Kv2mx3rShNN3uA=:UDbTBnczHWyw3m94MuJWxfNlObWTOra/72mWRYK2xrk=",
        ),
        (
            "\u{221}",
            "SCRAM-SHA-256$4096:rC6y5xnXZXKWrThER2YAjA==$JlN+ryikiKYEQESTTQZLi/GHnx/8/k3nMU2EJ9HNsHc=:D7OVVdA1GZJV0AduEhsTTMaHxeFYusILlK03V+mC7AA=",
        ),
    ] {
        let verifier = Verifier::parse(rolpassword).unwrap();
        assert_eq!(verifier.to_string(), rolpassword);
        let outcome = exchange(&verifier, self::password(password));
        assert!(outcome.is_ok(), "{password:?}: {outcome:?}");
    }
}

#[test]
fn the_key_of_an_exchange_logs_in_where_the_verifier_is_shared() {
    let verifier = Verifier::from_password("secret", b"salt", 5);
    let key = exchange(&verifier, password("secret")).unwrap();
    assert!(exchange(&verifier, key.clone()).is_ok());
    let other = Verifier::from_password("secret", b"other salt", 5);
    assert_eq!(exchange(&other, key).err(), Some(ScramError::WrongPassword));
}

#[test]
fn a_wrong_password_is_told_apart_from_a_wrong_message() {
    let verifier = Verifier::from_password("secret", b"salt", 5);
    for wrong in ["Secret", "secret ", ""] {
        let outcome = exchange(&verifier, password(wrong));
        assert_eq!(outcome.err(), Some(ScramError::WrongPassword));
    }
}

#[test]
fn an_unknown_user_meets_the_same_salt_each_time_and_no_password_passes() {
    let [one, again, other, elsewhere] =
        [(b"seed", "u"), (b"seed", "u"), (b"seed", "v"), (b"Seed", "u")]
            .map(|(seed, user)| Verifier::mock(seed, user).to_string());
    assert!(one == again && one != other && one != elsewhere);
    assert!(
        one.starts_with("SCRAM-SHA-256$4096:")
            && one.len() == Verifier::from_password("", SALT, 4096).to_string().len()
    );
    let outcome = exchange(&Verifier::mock(b"seed", "u"), password(""));
    assert_eq!(outcome.err(), Some(ScramError::WrongPassword));
}

#[test]
fn channel_binding_flags_n_and_y_are_accepted_and_p_is_not() {
    let verifier = Verifier::from_password("secret", b"salt", 1);
    let start = |first: &[u8]| ServerExchange::start(first, &verifier, "x").map(|_| ()).err();
    assert_eq!(start(b"n,,n=,r=a"), None);
    assert_eq!(start(b"y,,n=,r=a,extension=1"), None);
    assert_eq!(start(b"p=tls-server-end-point,,n=,r=a"), Some(ScramError::ChannelBinding));
    assert_eq!(start(b"n,a=other,n=,r=a"), Some(ScramError::AuthorizationIdentity));
    assert_eq!(start(b"n,,m=1,n=,r=a"), Some(ScramError::UnknownExtension));
    for first in [
        &b""[..],
        b"n",
        b"n,",
        b"n,,",
        b"n,x,n=,r=a",
        b"n,,n=",
        b"n,,n=,r=",
        b"n,,n=,r=a b",
        b"n,,r=a",
        b"x,,n=,r=a",
        b"n,,n=,r=\xff",
        "n,é,n=,r=a".as_bytes(),
    ] {
        let error = start(first);
        assert!(matches!(error, Some(ScramError::Malformed(_))), "{}", first.escape_ascii());
    }
}

#[test]
fn a_client_that_took_its_y_back_is_refused() {
    // The flag is under the proof: a man in the middle can't change it.
    let verifier = Verifier::from_password("secret", b"salt", 1);
    for (first, last, fits) in [("y,,n=,r=a", "c=eSws", true), ("y,,n=,r=a", "c=biws", false)] {
        let (server, _) = ServerExchange::start(first.as_bytes(), &verifier, "b").unwrap();
        let proof = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let error = server.finish(format!("{last},r=ab,p={proof}").as_bytes()).err().unwrap();
        assert_eq!(error == ScramError::WrongPassword, fits, "{error}");
    }
}

#[test]
fn a_proof_for_another_nonce_or_of_another_length_is_refused() {
    let verifier = Verifier::from_password("secret", b"salt", 1);
    let finish = |last: &str| {
        let (server, _) = ServerExchange::start(b"n,,n=,r=a", &verifier, "b").unwrap();
        server.finish(last.as_bytes()).err()
    };
    let proof = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(finish(&format!("c=biws,r=a,p={proof}")), Some(ScramError::NonceMismatch));
    assert_eq!(finish(&format!("c=biws,r=abc,p={proof}")), Some(ScramError::NonceMismatch));
    for last in [
        "",
        "c=biws,r=ab",
        "c=biws,r=ab,p=",
        "c=biws,r=ab,p=AAAA",
        "c=biws,r=ab,p=?",
        "c=?,r=ab,p=AAAA",
    ] {
        assert!(matches!(finish(last), Some(ScramError::Malformed(_))), "{last}");
    }
}

#[test]
fn a_server_must_extend_the_clients_nonce_and_ask_for_bounded_work() {
    let respond = |challenge: &str| {
        let (client, _) = ClientExchange::start(password("secret"), "mine");
        client.respond(challenge.as_bytes()).map(|_| ()).err()
    };
    assert_eq!(respond("r=mine+,s=c2FsdA==,i=1"), None);
    for challenge in ["r=mine,s=c2FsdA==,i=1", "r=your+,s=c2FsdA==,i=1", "r=min,s=c2FsdA==,i=1"] {
        assert_eq!(respond(challenge), Some(ScramError::NonceMismatch), "{challenge}");
    }
    let asked = MAX_ITERATIONS + 1;
    let error = ScramError::TooManyIterations { asked, limit: MAX_ITERATIONS };
    assert_eq!(respond(&format!("r=mine+,s=c2FsdA==,i={asked}")), Some(error));
    assert_eq!(respond("m=1,r=mine+,s=c2FsdA==,i=1"), Some(ScramError::UnknownExtension));
    for challenge in [
        "",
        "r=mine+",
        "r=mine+,s=?,i=1",
        "r=mine+,s=c2FsdA==,i=0",
        "r=mine+,s=c2FsdA==,i=-1",
        "r=mine+,s=c2FsdA==,i=99999999999",
    ] {
        assert!(matches!(respond(challenge), Some(ScramError::Malformed(_))), "{challenge}");
    }
}

#[test]
fn a_server_may_ask_for_exactly_the_limit() {
    // With keys instead of a password the iterations cost nothing.
    let key = exchange(&Verifier::from_password("secret", b"salt", 1), password("secret")).unwrap();
    let (client, _) = ClientExchange::start(key, "mine");
    let challenge = format!("r=mine+,s=c2FsdA==,i={MAX_ITERATIONS}");
    assert!(client.respond(challenge.as_bytes()).is_ok());
}

#[test]
fn a_verifier_of_no_iterations_has_one() {
    let verifier = Verifier::from_password("secret", b"salt", 0).to_string();
    assert_eq!(verifier, Verifier::from_password("secret", b"salt", 1).to_string());
    assert!(Verifier::parse(&verifier).is_ok());
}

#[test]
fn a_server_that_does_not_know_the_password_is_found_out() {
    let verify = |last: &str| {
        let (client, _) = ClientExchange::start(password("secret"), "mine");
        let (client, _) = client.respond(b"r=mine+,s=c2FsdA==,i=1").unwrap();
        client.verify(last.as_bytes()).err()
    };
    let forged = "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(verify(forged), Some(ScramError::ServerNotProven));
    assert_eq!(verify("e=invalid-proof"), Some(ScramError::ServerRefused));
    assert!(matches!(verify(""), Some(ScramError::Malformed(_))));
}

#[test]
fn what_is_not_a_verifier_is_refused() {
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert!(Verifier::parse(&format!("SCRAM-SHA-256$1:c2FsdA==${key}:{key}")).is_ok());
    for text in [
        String::new(),
        "md5911f527656472583a006e7727877b33e".to_owned(),
        format!("SCRAM-SHA-256$0:c2FsdA==${key}:{key}"),
        format!("SCRAM-SHA-256$1:${key}:{key}"),
        format!("SCRAM-SHA-256$1:c2FsdA==${key}"),
        format!("SCRAM-SHA-256$1:c2FsdA==${key}:AAAA"),
        format!("SCRAM-SHA-256$1:c2FsdA==$AAAA:{key}"),
        format!("SCRAM-SHA-1$1:c2FsdA==${key}:{key}"),
    ] {
        assert_eq!(Verifier::parse(&text).err(), Some(ScramError::BadVerifier), "{text}");
    }
}

#[test]
fn debug_hides_passwords_and_keys() {
    let verifier = Verifier::from_password("secret", b"salt", 1);
    let key = exchange(&verifier, password("secret")).unwrap();
    let (client, first) = ClientExchange::start(password("secret"), "n");
    let (server, challenge) = ServerExchange::start(&first, &verifier, "n").unwrap();
    let shown = format!("{verifier:?} {key:?} {client:?} {server:?}");
    let (client, _) = client.respond(&challenge).unwrap();
    let shown = format!("{shown} {client:?}");
    assert!(!shown.contains("secret"), "{shown}");
    // Keys would show as lists of 32 numbers.
    assert!(!shown.contains('['), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_password_passes_and_any_other_does_not(one in ".{0,9}", other in "[a-z]{10}") {
        let verifier = Verifier::from_password(&one, b"salt", 2);
        let verifier = Verifier::parse(&verifier.to_string()).unwrap();
        prop_assert!(exchange(&verifier, password(&one)).is_ok());
        let outcome = exchange(&verifier, password(&other));
        prop_assert_eq!(outcome.err(), Some(ScramError::WrongPassword));
    }
}
