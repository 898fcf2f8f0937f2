//! Where the server may listen.

use std::net::SocketAddr;

use hexwatch_contract::{Classified, Fault};

use crate::access::Accounts;

/// An address that would expose people's data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ListenError {
    /// Anybody on the way could read along.
    #[error(
        "listening on {address}: a public address needs TLS; listen on 127.0.0.1 and put a TLS proxy in front of it"
    )]
    PublicWithoutTls {
        /// The address.
        address: SocketAddr,
    },
    /// Anybody who reaches the address would be let in.
    #[error("listening on {address}: nobody has to log in; configure logins, or listen on 127.0.0.1")]
    PublicAndOpen {
        /// The address.
        address: SocketAddr,
    },
    /// Nobody could ever come in.
    #[error(
        "listening on {address}: nobody can log in; configure logins, or set `server.open = true` on loopback"
    )]
    NobodyCanLogIn {
        /// The address.
        address: SocketAddr,
    },
}

impl Classified for ListenError {
    fn fault(&self) -> Fault {
        Fault::Input
    }
}

/// Whether `address` may be listened on: loopback always, a public address only behind TLS and with logins.
pub fn check_listen(address: SocketAddr, tls: bool, accounts: &Accounts) -> Result<(), ListenError> {
    if accounts.is_empty() {
        return Err(ListenError::NobodyCanLogIn { address });
    }
    if address.ip().is_loopback() {
        return Ok(());
    }
    if !tls {
        return Err(ListenError::PublicWithoutTls { address });
    }
    if accounts.is_open() { Err(ListenError::PublicAndOpen { address }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Login, Role};

    #[test]
    fn a_public_address_needs_tls_and_logins() {
        let loopback: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let public: SocketAddr = "0.0.0.0:8080".parse().unwrap();
        let open = Accounts::default().open_as(Role::Operator);
        let closed = Accounts::new(vec![Login::with_token("olaf", Role::Operator, "token")]);

        assert_eq!(check_listen(loopback, false, &open), Ok(()));
        assert_eq!(check_listen(public, true, &closed), Ok(()));
        assert_eq!(
            check_listen(public, false, &closed),
            Err(ListenError::PublicWithoutTls { address: public })
        );
        assert_eq!(check_listen(public, true, &open), Err(ListenError::PublicAndOpen { address: public }));
        assert_eq!(
            check_listen(loopback, false, &Accounts::default()),
            Err(ListenError::NobodyCanLogIn { address: loopback })
        );
    }
}
