//! What a server may ask of who comes: nothing, a password in the clear, one hashed by MD5, or a proof by SCRAM-SHA-256.

use crate::scram::Scram;
use crate::wire::{Body, Error, failed};
use crate::{Config, Tls};
use md5::{Digest, Md5};
use quarterdeck_sdk::host::reveal;
use quarterdeck_sdk::host::tcp::Address;

const OK: i32 = 0;
const CLEARTEXT: i32 = 3;
const MD5: i32 = 5;
const SASL: i32 = 10;
const SASL_CONTINUE: i32 = 11;
const SASL_FINAL: i32 = 12;
const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

pub(crate) struct Authentication<'a> {
    config: &'a Config,
    scram: Option<Scram>,
    ended: bool,
}

impl<'a> Authentication<'a> {
    pub(crate) fn new(config: &'a Config) -> Self {
        Authentication { config, scram: None, ended: false }
    }

    /// What is to be answered, if anything.
    pub(crate) fn answer(&mut self, asked: &mut Body) -> Result<Option<Vec<u8>>, Error> {
        match asked.i32()? {
            OK if self.scram.as_ref().is_some_and(|scram| !scram.is_verified()) => {
                Err(failed("the server did not prove that it knows the password"))
            }
            OK => {
                self.ended = true;
                Ok(None)
            }
            CLEARTEXT => {
                self.is_private()?;
                let mut password = self.password()?;
                password.push(0);
                Ok(Some(password))
            }
            MD5 => {
                let salt = asked.salt()?;
                let mut answer = hashed(&self.password()?, &self.config.user, salt).into_bytes();
                answer.push(0);
                Ok(Some(answer))
            }
            SASL => {
                let mut offered = Vec::new();
                while let Ok(name) = asked.text() {
                    if name.is_empty() {
                        break;
                    }
                    offered.push(name);
                }
                if !offered.iter().any(|name| name == SCRAM_SHA_256) {
                    return Err(failed(format!(
                        "the server asks for {}, which is not known here",
                        offered.join(" or ")
                    )));
                }
                let scram = Scram::new(&nonce()?);
                let first = scram.first();
                self.scram = Some(scram);
                let length = i32::try_from(first.len()).map_err(|error| failed(error.to_string()))?;
                let mut answer = SCRAM_SHA_256.as_bytes().to_vec();
                answer.push(0);
                answer.extend(length.to_be_bytes());
                answer.extend(first.as_bytes());
                Ok(Some(answer))
            }
            SASL_CONTINUE => {
                let password = self.password()?;
                let said = asked.rest();
                let answer = self.scram()?.answer(&said, &password).map_err(failed)?;
                Ok(Some(answer.into_bytes()))
            }
            SASL_FINAL => {
                let said = asked.rest();
                self.scram()?.verify(&said).map_err(failed)?;
                Ok(None)
            }
            other => Err(failed(format!(
                "the server asks for authentication {other}, which is not known here; hint: use scram-sha-256 in its pg_hba.conf"
            ))),
        }
    }

    /// The server is ready: it must have said before that it takes us in.
    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.ended { Ok(()) } else { Err(failed("the server does not speak PostgreSQL's protocol")) }
    }

    fn scram(&mut self) -> Result<&mut Scram, Error> {
        self.scram.as_mut().ok_or_else(|| failed("the server goes on with what it has not begun"))
    }

    fn password(&self) -> Result<Vec<u8>, Error> {
        match &self.config.password_secret {
            Some(name) => Ok(reveal::secret(name)?),
            None => Err(failed(format!(
                "the server asks for a password of `{}`; hint: name the secret that holds it in `password-secret`",
                self.config.user
            ))),
        }
    }

    /// A password goes out as it is only where nobody else can hear it.
    fn is_private(&self) -> Result<(), Error> {
        let private = match Address::parse(&self.config.address) {
            Some(Address::Unix(_)) => true,
            Some(Address::Tcp(host, _)) => host == "localhost" || host == "::1" || host.starts_with("127."),
            _ => false,
        };
        if private || self.config.tls == Tls::Verify {
            return Ok(());
        }
        Err(failed(
            "the server asks for the password in the clear, and the way there is not encrypted; hint: tls = \"verify\", or \
             scram-sha-256 in its pg_hba.conf",
        ))
    }
}

/// As the server keeps it, salted once more.
fn hashed(password: &[u8], user: &str, salt: [u8; 4]) -> String {
    let inner = hex(&Md5::new().chain_update(password).chain_update(user).finalize());
    format!("md5{}", hex(&Md5::new().chain_update(inner).chain_update(salt).finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn nonce() -> Result<[u8; 18], Error> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).map_err(|error| failed(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::testing::FakeHost;

    fn config(more: &str) -> Config {
        quarterdeck_sdk::serde_json::from_str(&format!(r#"{{"user":"u"{more}}}"#)).unwrap()
    }

    fn ask(config: &Config, code: i32, rest: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut host = FakeHost::default();
        host.secrets.insert("db".into(), b"pencil".to_vec());
        let asked = [&code.to_be_bytes()[..], rest].concat();
        host.run(|| Authentication::new(config).answer(&mut Body::of(&asked))).0
    }

    #[test]
    fn a_password_in_the_clear_is_told_to_this_machine_only() {
        let local = config(r#","address":"/run/s","password-secret":"db""#);
        assert_eq!(ask(&local, CLEARTEXT, b"").unwrap().unwrap(), b"pencil\0");
        let far = config(r#","address":"db.example.com:5432","password-secret":"db""#);
        assert!(matches!(ask(&far, CLEARTEXT, b""), Err(Error::Failed(text)) if text.contains("hint: tls")));
    }

    #[test]
    fn a_password_that_is_not_named_or_not_granted_is_said() {
        let none = config(r#","address":"a:1""#);
        assert!(matches!(ask(&none, MD5, b"salt"), Err(Error::Failed(text)) if text.contains("`password-secret`")));
        let other = config(r#","address":"a:1","password-secret":"other""#);
        assert!(matches!(ask(&other, MD5, b"salt"), Err(Error::Denied(_))));
    }

    #[test]
    fn what_is_not_known_is_refused_and_a_server_that_skips_the_proof_is_not_trusted() {
        let config = config(r#","address":"a:1","password-secret":"db""#);
        assert!(matches!(ask(&config, 7, b""), Err(Error::Failed(text)) if text.contains("authentication 7")));
        let plus = b"SCRAM-SHA-512\0\0";
        assert!(matches!(ask(&config, SASL, plus), Err(Error::Failed(text)) if text.contains("SCRAM-SHA-512")));
        let mut host = FakeHost::default();
        host.secrets.insert("db".into(), b"pencil".to_vec());
        let skipped = host.run(|| {
            let mut authentication = Authentication::new(&config);
            let sasl = [&SASL.to_be_bytes()[..], b"SCRAM-SHA-256\0\0"].concat();
            let first = authentication.answer(&mut Body::of(&sasl)).unwrap().unwrap();
            assert!(first.starts_with(b"SCRAM-SHA-256\0\0\0\0"), "{first:?}");
            authentication.answer(&mut Body::of(&OK.to_be_bytes()))
        });
        assert!(matches!(skipped.0, Err(Error::Failed(text)) if text.contains("did not prove")));
        assert!(Authentication::new(&config).end().is_err());
    }
}
