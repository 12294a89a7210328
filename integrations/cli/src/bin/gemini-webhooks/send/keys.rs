//! The private keys of dynamic webhooks, new ones or from a file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gemini_webhooks::testing::{Ed25519Signer, Rs256Signer};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::exit::Failure;
use crate::input;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
const MAX_FILE: u64 = 64 * 1024;
/// What stands before the 32 bytes of an Ed25519 key in PKCS#8 (RFC 8410, 7).
const ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// An Ed25519 key: that of the file, or a new one, which is kept there.
pub(super) fn ed25519(file: Option<&Path>) -> Result<Ed25519Signer, Failure> {
    let seed = match read(file)? {
        Some(Kept { der, name }) => {
            let seed = der
                .strip_prefix(&ED25519)
                .and_then(|seed| seed.try_into().ok());
            Zeroizing::new(seed.ok_or_else(|| {
                Failure::unusable(format!(
                    "{name} holds no Ed25519 key: give another file, which is made if it is missing, or make one with \
                     `openssl genpkey -algorithm ed25519`"
                ))
            })?)
        }
        None => {
            let mut seed = Zeroizing::new([0; 32]);
            getrandom::fill(seed.as_mut()).map_err(|error| {
                Failure::new(format!(
                    "the operating system returned no random bytes: {error}"
                ))
            })?;
            keep(file, &Zeroizing::new([&ED25519[..], &seed[..]].concat()))?;
            seed
        }
    };
    let jwk = Ed25519Signer::new("", *seed).jwk();
    Ok(Ed25519Signer::new(&name_of(&jwk, "x"), *seed))
}

/// An RSA key: that of the file, or a new one, which is kept there.
pub(super) fn rs256(file: Option<&Path>) -> Result<Rs256Signer, Failure> {
    let Kept { der, name } = match read(file)? {
        Some(kept) => kept,
        None => {
            let signer = Rs256Signer::generate("")
                .map_err(|error| Failure::new(format!("no key can be made: {error}")))?;
            let der = signer.to_pkcs8();
            keep(file, &der)?;
            Kept {
                der,
                name: "the new key".to_owned(),
            }
        }
    };
    let with_name = |kid: &str| {
        Rs256Signer::from_pkcs8(kid, &der)
            .map_err(|error| Failure::unusable(format!("{name}: {error}")))
    };
    let jwk = with_name("")?.jwk();
    with_name(&name_of(&jwk, "n"))
}

/// A key's name is made of the key: a receiver that knows another one by the same name would not ask again.
fn name_of(jwk: &str, member: &str) -> String {
    let key = member_of(jwk, member);
    format!("sample-{}", key.get(..8).unwrap_or(&key))
}

/// The name (`kid`) in a JWK.
pub(super) fn kid(jwk: &str) -> String {
    member_of(jwk, "kid")
}

fn member_of(jwk: &str, member: &str) -> String {
    let jwk: Value = serde_json::from_str(jwk).unwrap_or_default();
    let text = jwk.get(member).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// A private key in PKCS#8 (DER), and what it is called.
struct Kept {
    der: Zeroizing<Vec<u8>>,
    name: String,
}

/// What the file holds; `None` if there is none yet.
fn read(file: Option<&Path>) -> Result<Option<Kept>, Failure> {
    let Some(path) = file else { return Ok(None) };
    if path == Path::new("-") {
        return Err(Failure::unusable(
            "--key-file cannot be standard input: give a file, which is made if it is missing",
        ));
    }
    match path.try_exists() {
        Ok(false) => return Ok(None),
        Ok(true) => {}
        Err(error) => {
            let name = input::name(path);
            return Err(Failure::unusable(format!("cannot read {name}: {error}")));
        }
    }
    let name = format!("--key-file {}", input::name(path));
    let text = input::read(path, MAX_FILE)?;
    let der = from_pem(&text).ok_or_else(|| {
        Failure::unusable(format!(
            "{name} holds no private key in PEM, between `{BEGIN}` and `{END}`: give another file, which is made if \
             it is missing"
        ))
    })?;
    Ok(Some(Kept { der, name }))
}

fn from_pem(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = str::from_utf8(text).ok()?;
    let (_, text) = text.split_once(BEGIN)?;
    let (text, _) = text.split_once(END)?;
    let text = Zeroizing::new(text.split_whitespace().collect::<String>());
    Some(Zeroizing::new(STANDARD.decode(text.as_bytes()).ok()?))
}

fn to_pem(der: &[u8]) -> Zeroizing<String> {
    let mut pem = Zeroizing::new(format!("{BEGIN}\n"));
    let text = Zeroizing::new(STANDARD.encode(der));
    for (index, char) in text.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(char);
    }
    pem.push('\n');
    pem.push_str(END);
    pem.push('\n');
    pem
}

/// Writes a new key, for its owner only.
fn keep(file: Option<&Path>, der: &[u8]) -> Result<(), Failure> {
    let Some(path) = file else { return Ok(()) };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        let written = file.write_all(to_pem(der).as_bytes());
        if written.is_err() {
            // The next run would take what is there for a key. If that fails as well, it says so.
            let _ = std::fs::remove_file(path);
        }
        written
    });
    written.map_err(|error| {
        let name = input::name(path);
        let hint = match error.kind() {
            ErrorKind::NotFound => ": make its folder first",
            ErrorKind::AlreadyExists => ": another run has just made it, so repeat",
            _ => "",
        };
        Failure::unusable(format!("cannot write the new key to {name}: {error}{hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_in_a_file_of_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let (ed, rsa) = (folder.path().join("ed.pem"), folder.path().join("rsa.pem"));
        let jwk = ed25519(Some(&ed)).unwrap().jwk();
        assert_eq!(ed25519(Some(&ed)).unwrap().jwk(), jwk);
        assert_ne!(ed25519(None).unwrap().jwk(), jwk);
        assert!(kid(&jwk).starts_with("sample-"), "{jwk}");
        let jwk = rs256(Some(&rsa)).unwrap().jwk();
        assert_eq!(rs256(Some(&rsa)).unwrap().jwk(), jwk);
        #[cfg(unix)]
        for path in [&ed, &rsa] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // Each is no key of the other kind.
        assert!(rs256(Some(&ed)).is_err());
        assert!(ed25519(Some(&rsa)).is_err());
    }

    #[test]
    fn a_file_that_holds_no_key_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("empty", ""),
            ("text", "no key"),
            ("half", "-----BEGIN PRIVATE KEY-----\nMC4CAQAw"),
            (
                "no base64",
                "-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----",
            ),
            (
                "short",
                "-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----",
            ),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            assert!(ed25519(Some(&path)).is_err(), "{name}");
            assert!(rs256(Some(&path)).is_err(), "{name}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{name}");
        }
        let nowhere = folder.path().join("no/folder");
        let error = format!("{:?}", ed25519(Some(&nowhere)).unwrap_err());
        assert!(error.contains("make its folder first"), "{error}");
    }

    #[test]
    fn a_key_of_openssl_is_read() {
        // RFC 8410, 10.3.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                   -----END PRIVATE KEY-----\n";
        std::fs::write(&path, pem).unwrap();
        let jwk = ed25519(Some(&path)).unwrap().jwk();
        // Its public key is in 10.1 of the same.
        assert_eq!(
            member_of(&jwk, "x"),
            "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"
        );
        let der = from_pem(pem.as_bytes()).unwrap();
        assert_eq!(*to_pem(&der), pem);
    }
}
