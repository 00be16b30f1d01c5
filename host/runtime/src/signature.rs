//! Signatures of plugins: Ed25519, by `ring`, on which the host's TLS rests already, so that no second implementation has to be trusted.
//!
//! A signature is the last section of the component that it signs, a custom one that runtimes pass over. So it goes wherever the file goes
//! (a folder, an upload, a registry, the component store), and can't be lost or mixed up on the way. It signs everything in front of it; what
//! has anything behind it counts as not signed.

use quarterdeck_model::plugin::publisher::PublisherKey;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

/// So that a signature can't be one of something else.
const CONTEXT: &[u8] = b"quarterdeck plugin signature 1\0";
const NAME: &[u8] = b"quarterdeck-signature";
const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
/// Custom section, length of the rest, length of the name, the name: all of them fit into a byte.
const HEAD: usize = 3 + NAME.len();
const SECTION: usize = HEAD + KEY_BYTES + SIGNATURE_BYTES;

/// What a publisher keeps secret.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// A new one, as PKCS #8.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate() -> Result<Vec<u8>, String> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        made.map(|made| made.as_ref().to_vec()).map_err(|_| "the system gives no randomness".to_owned())
    }

    /// # Errors
    /// It is no such key.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, String> {
        let read = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes);
        read.map(SigningKey).map_err(|error| format!("it is no Ed25519 key in PKCS #8: {error}"))
    }

    pub fn public(&self) -> PublisherKey {
        let mut key = [0; KEY_BYTES];
        key.iter_mut().zip(self.0.public_key().as_ref()).for_each(|(place, byte)| *place = *byte);
        PublisherKey(key)
    }

    /// The component with a signature, in place of one that it has.
    pub fn sign(&self, component: &[u8]) -> Vec<u8> {
        let unsigned = split(component).map_or(component, |(unsigned, _)| unsigned);
        let signature = self.0.sign(&message(unsigned));
        let mut signed = unsigned.to_vec();
        signed.extend_from_slice(&head());
        signed.extend_from_slice(&self.public().0);
        signed.extend_from_slice(signature.as_ref());
        signed
    }
}

/// Whose signature the component carries. `None`: it is not signed.
///
/// # Errors
/// The signature is not one of this component: one of the two was changed.
pub fn publisher(component: &[u8]) -> Result<Option<PublisherKey>, String> {
    let Some((unsigned, signed)) = split(component) else { return Ok(None) };
    let (key, signature) = signed.split_at_checked(KEY_BYTES).unwrap_or_default();
    let Ok(key) = <[u8; KEY_BYTES]>::try_from(key) else { return Ok(None) };
    match UnparsedPublicKey::new(&ED25519, key).verify(&message(unsigned), signature) {
        Ok(()) => Ok(Some(PublisherKey(key))),
        Err(_) => Err(format!(
            "its signature, said to be of {}, does not fit: the component was changed after it was signed",
            PublisherKey(key)
        )),
    }
}

/// What is signed, and key and signature; `None` where the last section is no signature.
fn split(component: &[u8]) -> Option<(&[u8], &[u8])> {
    let (unsigned, section) = component.split_at_checked(component.len().checked_sub(SECTION)?)?;
    Some((unsigned, section.strip_prefix(head().as_slice())?))
}

fn head() -> [u8; HEAD] {
    let mut head = [0; HEAD];
    // Lengths below 128, in LEB128; see the assertion.
    let lengths = [0, (SECTION - 2) as u8, NAME.len() as u8];
    head.iter_mut().zip(lengths.iter().chain(NAME)).for_each(|(place, byte)| *place = *byte);
    head
}

const _: () = assert!(SECTION - 2 < 128 && NAME.len() < 128);

fn message(unsigned: &[u8]) -> Vec<u8> {
    let mut message = CONTEXT.to_vec();
    message.extend_from_slice(&Sha256::digest(unsigned));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap()
    }

    fn component() -> Vec<u8> {
        wat::parse_str("(component (core module (func)))").unwrap()
    }

    #[test]
    fn a_signed_component_names_its_publisher_and_is_still_a_component() {
        let (key, other) = (key(), key());
        let signed = key.sign(&component());
        assert_eq!(publisher(&signed), Ok(Some(key.public())));
        assert_eq!(publisher(&component()), Ok(None));
        let engine = crate::engine::compiler().unwrap();
        wasmtime::component::Component::new(&engine, &signed).unwrap();
        // Signed anew it has one signature, not two.
        let again = other.sign(&signed);
        assert_eq!((publisher(&again), again.len()), (Ok(Some(other.public())), signed.len()));
    }

    #[test]
    fn whatever_is_changed_the_signature_does_not_fit_any_more() {
        let signed = key().sign(&component());
        let length = signed.len();
        for at in [9, length - SECTION - 1, length - 1, length - SIGNATURE_BYTES - 1] {
            let mut changed = signed.clone();
            changed[at] ^= 1;
            assert!(publisher(&changed).unwrap_err().contains("does not fit"), "changed at {at}");
        }
        // Of another component.
        let (unsigned, _) = split(&signed).unwrap();
        let other = wat::parse_str("(component)").unwrap();
        let moved = [other.as_slice(), &signed[unsigned.len()..]].concat();
        assert!(publisher(&moved).is_err());
    }

    #[test]
    fn what_has_something_behind_its_signature_is_not_signed() {
        let signed = key().sign(&component());
        let more = [signed.as_slice(), &[0, 2, 1, b'x']].concat();
        assert_eq!(publisher(&more), Ok(None));
        for short in [b"".as_slice(), b"\0asm", &signed[..SECTION - 1]] {
            assert_eq!(publisher(short), Ok(None));
        }
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        assert!(SigningKey::from_pkcs8(b"no key").is_err());
    }
}
