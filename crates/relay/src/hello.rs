//! Who is let in: the same version, the same reading of the same topics, the same secret.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Raised whenever what is said on a connection changes its meaning.
pub const VERSION: u32 = 1;

/// A secret that protects an address others can reach has at least so many characters.
pub const SHORTEST: usize = 32;

/// What both sides know and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret as it is configured; empty where there is none.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// Whether `said` is the secret. Hashes are compared, and to their end: how long it takes tells nothing.
    #[must_use]
    pub fn is(&self, said: &str) -> bool {
        let (own, other) = (Sha256::digest(&self.0), Sha256::digest(said));
        own.iter().zip(other.iter()).fold(0, |differing, (one, two)| differing | (one ^ two)) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

/// A hash of what both sides have to have in common.
#[must_use]
pub fn fingerprint(of: &str) -> String {
    Sha256::digest(of).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The first thing a worker says on each of its connections.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u32,
    /// The program's version.
    pub program: String,
    /// The worker's name.
    pub worker: String,
    /// Which of the lanes this connection is for: the safety topics in their order, then all others.
    pub lane: usize,
    /// A hash of how records are read: topics, site, tolerances.
    pub fingerprint: String,
    /// The secret.
    pub secret: String,
}

/// Why a worker is not let in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// Its secret is another.
    #[error("the secret is wrong: set the same `workers.secret` for all processes")]
    Secret,
    /// It speaks another version.
    #[error(
        "the worker speaks version {theirs} of the protocol, this process {VERSION}: run the same program"
    )]
    Version {
        /// Which.
        theirs: u32,
    },
    /// It would decode in another way.
    #[error(
        "the worker reads in another way: give all processes the same site folder and the same settings \
         (`kafka.input_prefix`, `kafka.topics`, `kafka.safety_topics`, `time.skew_max`, `time.future_max`, \
         `limits.max_record_bytes`), and run the same program"
    )]
    Fingerprint,
    /// It has more lanes than there are.
    #[error("there is no lane {lane}")]
    Lane {
        /// Which it wants.
        lane: usize,
    },
}

impl Hello {
    /// Whether whoever says this is let in where `secret` and `fingerprint` are ours and there are `lanes` lanes.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, secret: &Secret, fingerprint: &str, lanes: usize) -> Result<(), Refusal> {
        if !secret.is(&self.secret) {
            return Err(Refusal::Secret);
        }
        if self.version != VERSION {
            return Err(Refusal::Version { theirs: self.version });
        }
        if self.fingerprint != fingerprint {
            return Err(Refusal::Fingerprint);
        }
        if self.lane < lanes { Ok(()) } else { Err(Refusal::Lane { lane: self.lane }) }
    }
}

/// An address that would let anybody hand in records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "listening for workers on {address}: others can reach it, and `workers.secret` has fewer than {SHORTEST} \
     characters; set a longer one, or listen on 127.0.0.1"
)]
pub struct Unguarded {
    address: SocketAddr,
}

/// Whether workers may be listened for on `address`: on loopback always, elsewhere only with a secret worth the name.
///
/// # Errors
/// Where anybody could come in.
pub fn check_listen(address: SocketAddr, secret: &Secret) -> Result<(), Unguarded> {
    let is_guarded = address.ip().is_loopback() || secret.0.chars().count() >= SHORTEST;
    if is_guarded { Ok(()) } else { Err(Unguarded { address }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            version: VERSION,
            program: "0".to_owned(),
            worker: "a".to_owned(),
            lane: 1,
            fingerprint: "f".to_owned(),
            secret: "s".to_owned(),
        }
    }

    #[test]
    fn whoever_differs_in_one_thing_is_told_which() {
        let check = |hello: Hello| hello.check(&Secret::new("s"), "f", 2);
        assert_eq!(check(hello()), Ok(()));
        assert_eq!(check(Hello { secret: String::new(), ..hello() }), Err(Refusal::Secret));
        assert_eq!(check(Hello { version: 9, ..hello() }), Err(Refusal::Version { theirs: 9 }));
        assert_eq!(check(Hello { fingerprint: "g".to_owned(), ..hello() }), Err(Refusal::Fingerprint));
        assert_eq!(check(Hello { lane: 2, ..hello() }), Err(Refusal::Lane { lane: 2 }));
    }

    #[test]
    fn an_address_that_others_reach_needs_a_long_secret_which_is_never_shown() {
        let public: SocketAddr = "0.0.0.0:7654".parse().unwrap();
        let long = Secret::new("x".repeat(SHORTEST));
        assert!(check_listen("127.0.0.1:7654".parse().unwrap(), &Secret::new("")).is_ok());
        assert!(check_listen(public, &Secret::new("short")).is_err());
        assert!(check_listen(public, &long).is_ok());
        assert_eq!(format!("{long:?}"), "***");
    }
}
