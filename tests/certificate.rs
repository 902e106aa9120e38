//! Certificates for tests: a new key, and a certificate for `localhost` that it signs itself, written out by hand.
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use std::path::Path;

const ECDSA_WITH_SHA256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];
const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
const P256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1D, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x13];

/// A certificate and its key.
pub(crate) struct Certificate {
    /// The certificate's bytes.
    pub(crate) der: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// A new one.
    pub(crate) fn new() -> Self {
        Self::made(false)
    }

    /// A new one of a CA.
    pub(crate) fn of_ca() -> Self {
        Self::made(true)
    }

    fn made(is_ca: bool) -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref()).unwrap();
        let body = body(pair.public_key().as_ref(), is_ca);
        let signature = pair.sign(&random, &body).unwrap();
        let der = sequence(&[&body, &algorithm(), &bits(signature.as_ref())]);
        Self { der, key: key.as_ref().to_vec() }
    }

    /// Writes both as PEM.
    pub(crate) fn write(&self, cert: &Path, key: &Path) {
        std::fs::write(cert, pem("CERTIFICATE", &self.der)).unwrap();
        std::fs::write(key, pem("PRIVATE KEY", &self.key)).unwrap();
    }
}

/// What is signed.
fn body(public_key: &[u8], is_ca: bool) -> Vec<u8> {
    let version = tagged(0xA0, &tagged(0x02, &[2]));
    let serial = tagged(0x02, &[1]);
    let name = sequence(&[&tagged(0x31, &sequence(&[&tagged(0x06, COMMON_NAME), &tagged(0x0C, b"localhost")]))]);
    let validity = sequence(&[&tagged(0x17, b"200101000000Z"), &tagged(0x17, b"491231235959Z")]);
    let kind = sequence(&[&tagged(0x06, EC_PUBLIC_KEY), &tagged(0x06, P256)]);
    let public_key = sequence(&[&kind, &bits(public_key)]);
    let names = tagged(0x04, &sequence(&[&tagged(0x82, b"localhost")]));
    let names = sequence(&[&tagged(0x06, SUBJECT_ALTERNATIVE_NAME), &names]);
    let ca = tagged(0x04, &sequence(&[&tagged(0x01, &[0xFF])]));
    let ca = sequence(&[&tagged(0x06, BASIC_CONSTRAINTS), &tagged(0x01, &[0xFF]), &ca]);
    let all = if is_ca { sequence(&[&names, &ca]) } else { sequence(&[&names]) };
    let extensions = tagged(0xA3, &all);
    sequence(&[&version, &serial, &algorithm(), &name, &validity, &name, &public_key, &extensions])
}

fn algorithm() -> Vec<u8> {
    sequence(&[&tagged(0x06, ECDSA_WITH_SHA256)])
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    tagged(0x03, &[&[0], bytes].concat())
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let head = match len {
        0..0x80 => vec![tag, len as u8],
        0x80..0x100 => vec![tag, 0x81, len as u8],
        _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
    };
    [head.as_slice(), content].concat()
}

fn pem(what: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {what}-----\n");
    for line in bytes.chunks(48) {
        for three in line.chunks(3) {
            let number = (0..3).fold(0u32, |number, at| number << 8 | u32::from(*three.get(at).unwrap_or(&0)));
            for at in 0..4 {
                let digit = DIGITS[(number >> (18 - 6 * at)) as usize & 63];
                text.push(if at <= three.len() { char::from(digit) } else { '=' });
            }
        }
        text.push('\n');
    }
    format!("{text}-----END {what}-----\n")
}
