mod hostile;

use hmac::{Hmac, Mac};
use kinora_proto::accounts::v1 as pb;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::*;
use crate::testing::{ISSUER, TestIssuer};

const KID: &str = "key-1";
const NOW: i64 = 1_800_000_000;

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn trust_with(ended: Vec<pb::Ended>) -> TrustBundle {
    let keys = vec![pb::VerifyingKey {
        id: KID.to_owned(),
        public_key: key().public_key().to_vec(),
    }];
    let trust = pb::Trust {
        keys,
        terms_version: 1,
        ended,
    };
    TrustBundle::read("1".to_owned(), trust).expect("a bundle")
}

fn claims() -> Claims {
    Claims {
        iat: NOW,
        nbf: NOW,
        exp: NOW + MAX_LIFETIME_SECONDS,
        auth_time: NOW,
        jti: Uuid::from_u128(1),
        sid: Uuid::from_u128(2),
        ..TestIssuer::new().claims("acme:anna")
    }
}

fn good() -> String {
    sign(&claims(), KID, &key()).expect("a token")
}

fn verify(token: &str) -> Result<Claims, TokenError> {
    Verifier::new(ISSUER, &["scheduler"]).verify(token, &trust_with(Vec::new()), NOW)
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": KID })
}

/// A token with another header and claims, under a signature that holds.
fn signed(header: &Value, claims: &Value) -> String {
    sign_parts(
        header.to_string().as_bytes(),
        claims.to_string().as_bytes(),
        &key(),
    )
}

fn with(mut value: Value, name: &str, field: Value) -> Value {
    value[name] = field;
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().expect("an object").remove(name);
    value
}

fn body() -> Value {
    serde_json::to_value(claims()).expect("JSON")
}

#[track_caller]
fn check(token: &str, expected: TokenError) {
    assert_eq!(verify(token), Err(expected));
}

#[test]
fn good_token_gives_back_its_claims() {
    assert_eq!(verify(&good()), Ok(claims()));
    assert_eq!(verify(&signed(&header(), &body())), Ok(claims()));
    let typ = json!("application/AT+JWT");
    assert!(verify(&signed(&with(header(), "typ", typ), &body())).is_ok());
}

/// A verifier that has seen the good token before.
fn experienced() -> Verifier {
    let verifier = Verifier::new(ISSUER, &["scheduler"]);
    let seen = verifier.verify(&good(), &trust_with(Vec::new()), NOW);
    assert_eq!(seen, Ok(claims()));
    verifier
}

#[test]
fn token_that_was_good_before_is_looked_at_again() {
    let (verifier, trust) = (experienced(), trust_with(Vec::new()));
    assert_eq!(verifier.verify(&good(), &trust, NOW), Ok(claims()));
    let late = claims().exp + LEEWAY_SECONDS;
    let early = NOW - LEEWAY_SECONDS - 1;
    let refused = |now| verifier.verify(&good(), &trust, now).err();
    assert_eq!(refused(late), Some(TokenError::Expired));
    assert_eq!(refused(early), Some(TokenError::NotYetValid));
    let ended = vec![pb::Ended {
        id: claims().sid.to_string(),
        end_time: NOW,
    }];
    let revoked = verifier.verify(&good(), &trust_with(ended), NOW);
    assert_eq!(revoked, Err(TokenError::Revoked));
}

#[test]
fn token_that_was_good_before_needs_the_key_that_signed_it() {
    let verifier = experienced();
    let without = TrustBundle::default();
    let unknown = verifier.verify(&good(), &without, NOW);
    assert_eq!(unknown, Err(TokenError::UnknownKey));
    // Another key under the same id.
    let other = SigningKey::from_seed(&[8; 32]);
    let keys = vec![pb::VerifyingKey {
        id: KID.to_owned(),
        public_key: other.public_key().to_vec(),
    }];
    let replaced = pb::Trust {
        keys,
        ..pb::Trust::default()
    };
    let replaced = TrustBundle::read("2".to_owned(), replaced).expect("a bundle");
    let signed_before = verifier.verify(&good(), &replaced, NOW);
    assert_eq!(signed_before, Err(TokenError::Signature));
}

#[test]
fn token_that_was_good_before_lends_its_signature_to_no_other() {
    let (verifier, trust) = (experienced(), trust_with(Vec::new()));
    let (_, signature) = good().rsplit_once('.').map(owned).expect("a signature");
    let other = signed(&header(), &with(body(), "adm", json!(true)));
    let (parts, its_own) = other.rsplit_once('.').map(owned).expect("a signature");
    let borrowed = verifier.verify(&format!("{parts}.{signature}"), &trust, NOW);
    assert_eq!(borrowed, Err(TokenError::Signature));
    let (parts, _) = good().rsplit_once('.').map(owned).expect("parts");
    let lent = verifier.verify(&format!("{parts}.{its_own}"), &trust, NOW);
    assert_eq!(lent, Err(TokenError::Signature));
}

fn owned((parts, signature): (&str, &str)) -> (String, String) {
    (parts.to_owned(), signature.to_owned())
}

#[test]
fn signature_is_that_of_rfc_8037() {
    let seed = URL_SAFE_NO_PAD
        .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
        .expect("base64");
    let key = SigningKey::from_seed(&seed.try_into().expect("32 bytes"));
    let public = URL_SAFE_NO_PAD.encode(key.public_key());
    assert_eq!(public, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    let token = sign_parts(br#"{"alg":"EdDSA"}"#, b"Example of Ed25519 signing", &key);
    assert_eq!(
        token,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
         hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
}

#[test]
fn other_algorithms_are_refused() {
    for alg in [
        "none", "None", "HS256", "RS256", "ES256", "PS256", "EdDSA ", "eddsa", "",
    ] {
        check(
            &signed(&with(header(), "alg", json!(alg)), &body()),
            TokenError::Algorithm,
        );
    }
    check(
        &signed(&without(header(), "alg"), &body()),
        TokenError::Header,
    );
    check(
        &signed(&with(header(), "alg", json!(["EdDSA"])), &body()),
        TokenError::Header,
    );
}

#[test]
fn unsigned_token_is_refused() {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = with(header(), "alg", json!("none"));
    check(
        &format!("{}.{}.", part(&none), part(&body())),
        TokenError::Algorithm,
    );
    check(
        &format!("{}.{}.", part(&header()), part(&body())),
        TokenError::Form,
    );
    let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
    let forged = format!("{}.{}.{zeros}", part(&header()), part(&body()));
    check(&forged, TokenError::Signature);
}

#[test]
fn public_key_is_no_secret() {
    let alg = with(header(), "alg", json!("HS256"));
    let message = signed(&alg, &body());
    let (message, _) = message.rsplit_once('.').expect("three parts");
    for secret in [
        &key().public_key()[..],
        URL_SAFE_NO_PAD.encode(key().public_key()).as_bytes(),
    ] {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a secret");
        mac.update(message.as_bytes());
        let tag = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        check(&format!("{message}.{tag}"), TokenError::Algorithm);
    }
}

#[test]
fn other_kinds_of_tokens_are_refused() {
    for typ in [
        json!("JWT"),
        json!("jwt"),
        json!("id_token"),
        json!(""),
        json!("at+jwt "),
    ] {
        check(
            &signed(&with(header(), "typ", typ), &body()),
            TokenError::Type,
        );
    }
    check(
        &signed(&without(header(), "typ"), &body()),
        TokenError::Type,
    );
}

#[test]
fn token_does_not_bring_its_own_key() {
    let own = SigningKey::from_seed(&[8; 32]);
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": KID,
        "x": URL_SAFE_NO_PAD.encode(own.public_key()),
    });
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("https://evil.example/keys.json")),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!(["AAAA"])),
    ] {
        let header = with(header(), name, value);
        let claims = body().to_string();
        let forged = sign_parts(header.to_string().as_bytes(), claims.as_bytes(), &own);
        check(&forged, TokenError::Signature);
        assert!(
            verify(&signed(&header, &body())).is_ok(),
            "{name} says nothing"
        );
    }
    let critical = with(header(), "crit", json!(["exp"]));
    check(&signed(&critical, &body()), TokenError::Critical);
}

#[test]
fn key_must_be_named_and_trusted() {
    check(
        &signed(&without(header(), "kid"), &body()),
        TokenError::UnknownKey,
    );
    for kid in ["", "key-2", "../key-1", "key-1\0"] {
        check(
            &signed(&with(header(), "kid", json!(kid)), &body()),
            TokenError::UnknownKey,
        );
    }
    let verifier = Verifier::new(ISSUER, &["scheduler"]);
    let revoked = verifier.verify(&good(), &TrustBundle::default(), NOW);
    assert_eq!(revoked, Err(TokenError::UnknownKey));
}

#[test]
fn issuer_and_audience_must_be_ours() {
    for iss in ["Kinora", "kinora ", "https://kinora", ""] {
        check(
            &signed(&header(), &with(body(), "iss", json!(iss))),
            TokenError::Issuer,
        );
    }
    for aud in [
        json!([]),
        json!(["accounts"]),
        json!(["Scheduler", "scheduler2"]),
    ] {
        check(
            &signed(&header(), &with(body(), "aud", aud)),
            TokenError::Audience,
        );
    }
    check(
        &signed(&header(), &with(body(), "aud", json!("scheduler"))),
        TokenError::Claims,
    );
}

#[test]
fn times_are_kept_to_the_leeway() {
    let verifier = Verifier::new(ISSUER, &["scheduler"]);
    let trust = trust_with(Vec::new());
    let at = |now: i64| verifier.verify(&good(), &trust, now).err();
    let end = NOW + MAX_LIFETIME_SECONDS + LEEWAY_SECONDS;
    assert_eq!((at(end - 1), at(end)), (None, Some(TokenError::Expired)));
    let begin = NOW - LEEWAY_SECONDS;
    assert_eq!(
        (at(begin), at(begin - 1)),
        (None, Some(TokenError::NotYetValid))
    );
    let later = |name| with(body(), name, json!(NOW + LEEWAY_SECONDS + 1));
    check(&signed(&header(), &later("nbf")), TokenError::NotYetValid);
    check(&signed(&header(), &later("iat")), TokenError::NotYetValid);
    for now in [i64::MIN, i64::MAX] {
        assert!(at(now).is_some());
    }
}

#[test]
fn claims_that_nobody_signs_are_refused() {
    for (name, value) in [
        ("exp", json!(NOW + MAX_LIFETIME_SECONDS + 1)),
        ("exp", json!(NOW)),
        ("exp", json!(i64::MAX)),
        ("exp", json!("soon")),
        ("exp", json!(1.8e9)),
        ("aal", json!(0)),
        ("aal", json!(3)),
        ("org", Value::Null),
        ("role", Value::Null),
        ("role", json!("king")),
        ("age", json!("old")),
        ("sub", json!("anna")),
        ("terms", json!(-1)),
        ("adm", json!("true")),
        ("scope", json!(["admin"])),
    ] {
        check(
            &signed(&header(), &with(body(), name, value)),
            TokenError::Claims,
        );
    }
    for name in [
        "iss",
        "aud",
        "sub",
        "iat",
        "nbf",
        "exp",
        "sid",
        "jti",
        "auth_time",
        "terms",
    ] {
        check(
            &signed(&header(), &without(body(), name)),
            TokenError::Claims,
        );
    }
}

#[test]
fn claim_may_stand_once_only() {
    let twice = |json: &str, field: &str| json.replacen('{', &format!("{{{field},"), 1);
    let text = twice(&body().to_string(), &format!(r#""sub":"{}""#, Uuid::nil()));
    let token = sign_parts(header().to_string().as_bytes(), text.as_bytes(), &key());
    check(&token, TokenError::Claims);
    let head = twice(&header().to_string(), r#""alg":"EdDSA""#);
    let token = sign_parts(head.as_bytes(), body().to_string().as_bytes(), &key());
    check(&token, TokenError::Header);
}

#[test]
fn ended_session_or_subject_is_refused_until_it_comes_anew() {
    let verifier = Verifier::new(ISSUER, &["scheduler"]);
    let claims = claims();
    for id in [claims.sid, claims.sub] {
        let ended = |end_time| {
            let ended = pb::Ended {
                id: id.to_string(),
                end_time,
            };
            let token = sign(&claims, KID, &key()).expect("a token");
            verifier.verify(&token, &trust_with(vec![ended]), NOW).err()
        };
        assert_eq!(ended(NOW - 1), None);
        assert_eq!(ended(NOW), Some(TokenError::Revoked));
    }
}

#[test]
fn keys_that_are_none_make_no_bundle() {
    let of_y = |y: u8| {
        let mut key = vec![0; 32];
        key[0] = y;
        key
    };
    // Wrong lengths, a y that is on no point of the curve, and points of small order.
    for public_key in [vec![], vec![7; 31], vec![7; 33], of_y(2), of_y(0), of_y(1)] {
        let keys = vec![pb::VerifyingKey {
            id: KID.to_owned(),
            public_key,
        }];
        let trust = pb::Trust {
            keys,
            ..pb::Trust::default()
        };
        assert!(TrustBundle::read(String::new(), trust).is_err());
    }
}

#[test]
fn private_key_is_not_printed() {
    assert_eq!(format!("{:?}", key()), "SigningKey(withheld)");
}
