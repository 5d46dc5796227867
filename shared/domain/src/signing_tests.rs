//! Vectors and verdicts for `signing`.

use proptest::prelude::*;

use super::*;

/// The vector the Standard Webhooks libraries test themselves with.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIMESTAMP: &str = "1614265330";
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const NOW_S: i64 = 1_614_265_330;

fn secret(text: &str) -> Secret {
    text.parse().unwrap()
}

fn received<'a>(id: &'a str, timestamp: &'a str, signature: &'a str) -> SignedHeaders<'a> {
    SignedHeaders { id, timestamp, signature }
}

/// Signatures made by the Python library `standardwebhooks` 1.1.0.
#[test]
fn signatures_equal_those_of_the_python_library() {
    let long = "whsec_wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7\
                /P3+/w==";
    let table = [
        (SECRET, ID, NOW_S, r#"{"test": 2432232314}"#, SIGNATURE),
        (
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
            "msg_0190f3d2aabb7ccc8dddeeeeffff0001",
            1_700_000_000,
            "",
            "v1,2DHX5/VXBvdbDCgCCqJR7YrkCZmePe52NlDnE8fVAWI=",
        ),
        (
            "whsec_ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM=",
            "msg_0190f3d2aabb7ccc8dddeeeeffff0002",
            1,
            "null",
            "v1,atHbbx0N7xc02BHqTtKyB5/M0F1qGDbOFyljQUndj20=",
        ),
        (
            long,
            "msg_0190f3d2aabb7ccc8dddeeeeffff0003",
            4_102_444_800,
            r#"{"name":"Zoë","tail":"a.b.c\n"}"#,
            "v1,SptbQ9den1Aj7ktjkFbcTk1U3D3VSY4rveQekkiSphs=",
        ),
        (long, "a", 1_732_180_000, "xxx", "v1,mfKMB1k2iHgMwdltmCKyrf6p634M1J/AvlsF6v7jydM="),
    ];
    for (key, id, timestamp_s, body, signature) in table {
        assert_eq!(sign(&[secret(key)], id, timestamp_s, body.as_bytes()), signature);
    }
}

#[test]
fn every_secret_signs_and_any_one_of_them_verifies() {
    let (old, new) = (secret(SECRET), Secret::from_bytes(vec![7; 32]).unwrap());
    let stranger = Secret::from_bytes(vec![8; 32]).unwrap();
    let signature = sign(&[new.clone(), old.clone()], ID, NOW_S, BODY);
    assert!(signature.ends_with(&format!(" {SIGNATURE}")), "{signature}");
    let headers = received(ID, TIMESTAMP, &signature);
    for receiver in [vec![old.clone()], vec![new.clone()], vec![stranger.clone(), old.clone()]] {
        assert_eq!(verify(&receiver, headers, BODY, NOW_S, 300), Ok(()));
    }
    for receiver in [vec![], vec![stranger]] {
        assert_eq!(verify(&receiver, headers, BODY, NOW_S, 300), Err(VerifyError::NoMatch));
    }
    assert_eq!(sign(&[], ID, NOW_S, BODY), "");
}

#[test]
fn altered_requests_get_their_verdict() {
    use VerifyError::{NoMatch, Timestamp};
    let truncated = &SIGNATURE[..SIGNATURE.len() - 4];
    let table = [
        (ID, TIMESTAMP, SIGNATURE, BODY, Ok(())),
        (ID, TIMESTAMP, "v1a,AAAA v2,x v1,?? v1,AAAA", BODY, Err(NoMatch)),
        ("msg_other", TIMESTAMP, SIGNATURE, BODY, Err(NoMatch)),
        (ID, "1614265331", SIGNATURE, BODY, Err(NoMatch)),
        (ID, TIMESTAMP, SIGNATURE, br#"{"test": 2432232315}"#, Err(NoMatch)),
        (ID, TIMESTAMP, "", BODY, Err(NoMatch)),
        (ID, TIMESTAMP, "v1,", BODY, Err(NoMatch)),
        (ID, TIMESTAMP, truncated, BODY, Err(NoMatch)),
        (ID, TIMESTAMP, &SIGNATURE[3..], BODY, Err(NoMatch)),
        (ID, "", SIGNATURE, BODY, Err(Timestamp)),
        (ID, "1614265330.5", SIGNATURE, BODY, Err(Timestamp)),
        (ID, "Fri, 26 Feb 2021", SIGNATURE, BODY, Err(Timestamp)),
        (ID, "99999999999999999999", SIGNATURE, BODY, Err(Timestamp)),
    ];
    for (id, timestamp, signature, body, verdict) in table {
        let headers = received(id, timestamp, signature);
        assert_eq!(verify(&[secret(SECRET)], headers, body, NOW_S, 300), verdict, "{headers:?}");
    }
    let among_others = format!("v1a,AAAA v2,x v1,?? v1,AAAA {SIGNATURE} v1,BBBB");
    let headers = received(ID, TIMESTAMP, &among_others);
    assert_eq!(verify(&[secret(SECRET)], headers, BODY, NOW_S, 300), Ok(()));
}

#[test]
fn the_tolerance_holds_on_both_sides_to_the_second() {
    let table = [
        (NOW_S, 0, Ok(())),
        (NOW_S + 300, 300, Ok(())),
        (NOW_S + 301, 300, Err(VerifyError::TooOld)),
        (NOW_S - 300, 300, Ok(())),
        (NOW_S - 301, 300, Err(VerifyError::TooNew)),
        (NOW_S + 1, 0, Err(VerifyError::TooOld)),
        (i64::MIN, 300, Err(VerifyError::TooNew)),
        (i64::MAX, u64::MAX, Ok(())),
    ];
    for (now_s, tolerance_s, verdict) in table {
        let headers = received(ID, TIMESTAMP, SIGNATURE);
        assert_eq!(verify(&[secret(SECRET)], headers, BODY, now_s, tolerance_s), verdict);
    }
}

#[test]
fn a_secret_has_24_to_64_bytes_and_a_text_form() {
    for length in 0..=100 {
        let made = Secret::from_bytes(vec![1; length]);
        assert_eq!(made.is_ok(), (24..=64).contains(&length), "{length}");
        let text = format!("whsec_{}", STANDARD.encode(vec![1; length]));
        assert_eq!(text.parse::<Secret>().is_ok(), (24..=64).contains(&length), "{text}");
    }
    for text in [
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!",
        " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
    ] {
        assert_eq!(text.parse::<Secret>().err(), Some(SecretError), "{text:?}");
    }
}

#[test]
fn debug_shows_nothing_of_a_secret() {
    assert_eq!(format!("{:?}", secret(SECRET)), "Secret(redacted)");
}

proptest! {
    #[test]
    fn what_is_signed_verifies_until_a_bit_flips(
        keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 24..=64), 1..4),
        id in "msg_[0-9a-f]{32}",
        timestamp_s in any::<i64>(),
        mut body in prop::collection::vec(any::<u8>(), 1..200),
        at in any::<prop::sample::Index>(),
    ) {
        let secrets: Vec<_> = keys.into_iter().map(|k| Secret::from_bytes(k).unwrap()).collect();
        let copy: Secret = secrets[0].to_text().parse().unwrap();
        prop_assert_eq!(copy.as_bytes(), secrets[0].as_bytes());
        let signature = sign(&secrets, &id, timestamp_s, &body);
        let timestamp = timestamp_s.to_string();
        let headers = received(&id, &timestamp, &signature);
        prop_assert_eq!(verify(&[copy], headers, &body, timestamp_s, 0), Ok(()));
        let index = at.index(body.len());
        body[index] ^= 1;
        let verdict = verify(&secrets, headers, &body, timestamp_s, 0);
        prop_assert_eq!(verdict, Err(VerifyError::NoMatch));
    }
}
