//! SCRAM-SHA-256 (RFC 5802, RFC 7677), as PostgreSQL has it: the name of the user was said before and stays empty here, and there is no
//! channel binding. Passwords are taken as they are; what SASLprep would change in one (compatibility forms of Unicode) has to be
//! written in the prepared form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// A server that asks for more wants to keep us busy.
const MOST_ITERATIONS: u32 = 1_000_000;
/// Without channel binding.
const HEADER: &str = "n,,";

pub(crate) struct Scram {
    bare: String,
    nonce: String,
    /// What the server has to prove, once the proof was made for it.
    expected: Option<[u8; 32]>,
    verified: bool,
}

impl Scram {
    pub(crate) fn new(nonce: &[u8]) -> Self {
        Scram::with("", STANDARD.encode(nonce))
    }

    fn with(user: &str, nonce: String) -> Self {
        Scram { bare: format!("n={user},r={nonce}"), nonce, expected: None, verified: false }
    }

    pub(crate) fn first(&self) -> String {
        format!("{HEADER}{}", self.bare)
    }

    /// What is said after the server's first message: that we know the password, without the password.
    pub(crate) fn answer(&mut self, said: &str, password: &[u8]) -> Result<String, String> {
        let field = |name: &str| said.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let malformed = || "the server's part of SCRAM can't be read".to_owned();
        let nonce = field("r").ok_or_else(malformed)?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err("the server answered another one's SCRAM".to_owned());
        }
        let salt = STANDARD.decode(field("s").ok_or_else(malformed)?).map_err(|_| malformed())?;
        let iterations: u32 = field("i").and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
        if !(1..=MOST_ITERATIONS).contains(&iterations) {
            return Err(format!("the server asks for {iterations} rounds of SCRAM, expected 1 to {MOST_ITERATIONS}"));
        }
        let unproven = format!("c={},r={nonce}", STANDARD.encode(HEADER));
        let whole = format!("{},{said},{unproven}", self.bare);
        let salted = salted(password, &salt, iterations)?;
        let client_key = mac(&salted, b"Client Key")?;
        let signature = mac(&Sha256::digest(client_key), whole.as_bytes())?;
        let proof = xor(client_key, signature);
        self.expected = Some(mac(&mac(&salted, b"Server Key")?, whole.as_bytes())?);
        Ok(format!("{unproven},p={}", STANDARD.encode(proof)))
    }

    /// The server knows the password, too: else it is not the one that we know.
    pub(crate) fn verify(&mut self, said: &str) -> Result<(), String> {
        let signature = said.split(',').find_map(|part| part.strip_prefix("v="));
        let signature = signature.and_then(|text| STANDARD.decode(text).ok());
        if self.expected.is_none() || signature.as_deref() != self.expected.as_ref().map(<[u8; 32]>::as_slice) {
            return Err("the server did not prove that it knows the password".to_owned());
        }
        self.verified = true;
        Ok(())
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.verified
    }
}

/// PBKDF2 with one block.
fn salted(password: &[u8], salt: &[u8], iterations: u32) -> Result<[u8; 32], String> {
    let keyed = Hmac::<Sha256>::new_from_slice(password).map_err(|error| error.to_string())?;
    let mut last = keyed.clone().chain_update(salt).chain_update(1_u32.to_be_bytes()).finalize().into_bytes();
    let mut result: [u8; 32] = last.into();
    for _ in 1..iterations {
        last = keyed.clone().chain_update(last).finalize().into_bytes();
        result = xor(result, last.into());
    }
    Ok(result)
}

fn mac(key: &[u8], message: &[u8]) -> Result<[u8; 32], String> {
    let mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| error.to_string())?;
    Ok(mac.chain_update(message).finalize().into_bytes().into())
}

fn xor(a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    let mut result = a;
    for (own, other) in result.iter_mut().zip(b) {
        *own ^= other;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    /// The exchange of RFC 7677, section 3.
    fn example() -> Scram {
        Scram::with("user", "rOprNGfwEbeRWgbNEkqO".to_owned())
    }

    #[test]
    fn the_exchange_of_the_standard_comes_out() {
        let mut scram = example();
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(scram.answer(SAID, b"pencil").unwrap(), expected);
        assert!(!scram.is_verified());
        scram.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
        assert!(scram.is_verified());
    }

    #[test]
    fn a_server_that_does_not_know_the_password_or_answers_another_is_refused() {
        let mut scram = example();
        assert!(scram.verify("v=").is_err(), "nothing was proven yet");
        scram.answer(SAID, b"pen").unwrap();
        assert!(scram.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").is_err());
        for said in [
            "",
            "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=%%,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000",
        ] {
            assert!(example().answer(said, b"pencil").is_err(), "{said}");
        }
    }
}
