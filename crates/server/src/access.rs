//! Who may do what: roles, one table of permissions, and logins by token.

use std::fmt;
use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The cookie that carries a browser's token.
pub(crate) const COOKIE: &str = "hexwatch_login";

/// What somebody is here for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the plan's own words")]
pub enum Role {
    Operator,
    Wall,
    PoliceLiaison,
    Property,
    GridOfficer,
    Analyst,
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 7] = [
        Self::Operator,
        Self::Wall,
        Self::PoliceLiaison,
        Self::Property,
        Self::GridOfficer,
        Self::Analyst,
        Self::Admin,
    ];

    /// The role as configuration, messages and tables spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Wall => "wall",
            Self::PoliceLiaison => "police_liaison",
            Self::Property => "property",
            Self::GridOfficer => "grid_officer",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether the table of permissions says yes.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        permission.roles().contains(&self)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a door asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// See the live picture: cells, alarms as they come, health, the map.
    Watch,
    /// Ask why a cell has its score.
    Explain,
    /// List alarms.
    ReadAlarms,
    /// Acknowledge an alarm, take that back, comment.
    HandleAlarms,
    /// Put an alarm aside and take it back.
    ShelveAlarms,
    /// Confirm, reject, assign.
    JudgeAlarms,
    /// Run SQL over history.
    RunSql,
    /// See sources, rules, dead letters.
    ReadSystem,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 8] = [
        Self::Watch,
        Self::Explain,
        Self::ReadAlarms,
        Self::HandleAlarms,
        Self::ShelveAlarms,
        Self::JudgeAlarms,
        Self::RunSql,
        Self::ReadSystem,
    ];

    /// The table: who may.
    #[must_use]
    pub const fn roles(self) -> &'static [Role] {
        use Role::{Admin, Analyst, GridOfficer, Operator, PoliceLiaison, Property, Wall};
        match self {
            Self::Watch => &Role::ALL,
            Self::Explain => &[Operator, PoliceLiaison, Property, GridOfficer, Analyst, Admin],
            Self::ReadAlarms => &[Operator, Wall, PoliceLiaison, Property, GridOfficer, Analyst, Admin],
            Self::HandleAlarms => &[Operator, PoliceLiaison, Property, GridOfficer, Admin],
            Self::ShelveAlarms => &[Operator, PoliceLiaison, Admin],
            Self::JudgeAlarms => &[Operator, PoliceLiaison, GridOfficer, Admin],
            Self::RunSql => &[Operator, Analyst, Admin],
            Self::ReadSystem => &[Operator, Property, Analyst, Admin],
        }
    }
}

/// Somebody who is logged in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Person {
    /// The login's name, a pseudonym.
    pub who: String,
    /// The role.
    pub role: Role,
}

/// A name, a role, and the SHA-256 of the token that opens it. Tokens are random (128 bits or more), so a plain hash
/// keeps them as safe as a slow one would.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// SHA-256 of the token.
    pub token_sha256: [u8; 32],
}

impl Login {
    /// The login that `token` opens. The token itself is not kept.
    #[must_use]
    pub fn with_token(name: impl Into<String>, role: Role, token: &str) -> Self {
        Self { name: name.into(), role, token_sha256: Sha256::digest(token.as_bytes()).into() }
    }
}

/// Who may come in.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    logins: Vec<Login>,
    open: Option<Role>,
}

impl Accounts {
    /// Only these logins.
    #[must_use]
    pub fn new(logins: Vec<Login>) -> Self {
        Self { logins, open: None }
    }

    /// Lets whoever reaches the address in as `role` without a login; [`crate::check_listen`] allows that on loopback
    /// only.
    #[must_use]
    pub fn open_as(mut self, role: Role) -> Self {
        self.open = Some(role);
        self
    }

    /// Whether one may come in without a login.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether nobody at all can come in.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.logins.is_empty() && self.open.is_none()
    }

    /// Whom `token` opens for. Every login is compared, and every byte, so that time tells nothing.
    #[must_use]
    pub fn of_token(&self, token: &str) -> Option<Person> {
        let presented: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.logins.iter().fold(None, |found, login| {
            let difference =
                login.token_sha256.iter().zip(presented).fold(0, |sum, (ours, theirs)| sum | (ours ^ theirs));
            if difference == 0 { Some(Person { who: login.name.clone(), role: login.role }) } else { found }
        })
    }

    /// Who asks: by bearer token, by cookie, or anybody where that is allowed.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Person, Refusal> {
        if let Some(token) = token_of(headers) {
            return self.of_token(token).ok_or(Refusal::UnknownToken);
        }
        let role = self.open.ok_or(Refusal::NoToken)?;
        // A page elsewhere can point a name of its own at 127.0.0.1; that name then stands in `Host`.
        if is_loopback_host(headers) {
            Ok(Person { who: "open".into(), role })
        } else {
            Err(Refusal::ForeignHost)
        }
    }
}

/// Why somebody cannot come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no token was given")]
    NoToken,
    #[error("the token opens no login")]
    UnknownToken,
    #[error("without a login the server answers to loopback names only")]
    ForeignHost,
    #[error("the page that asks comes from another origin")]
    ForeignOrigin,
}

fn token_of(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    bearer.map(str::trim).or_else(|| {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .find(|(name, _)| *name == COOKIE)
            .map(|(_, token)| token)
    })
}

/// Refuses what a page of another origin asks: browsers attach cookies and reach loopback for any page. Whoever is no
/// browser sends no `Origin`.
pub(crate) fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if authority.is_some() && authority == host { Ok(()) } else { Err(Refusal::ForeignOrigin) }
}

fn is_loopback_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return true };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_police_liaison_handles_alarms_and_runs_no_sql() {
        assert!(Role::PoliceLiaison.may(Permission::HandleAlarms));
        assert!(!Role::PoliceLiaison.may(Permission::RunSql));
        assert!(!Role::Wall.may(Permission::HandleAlarms));
        assert!(!Role::Analyst.may(Permission::HandleAlarms));
        for permission in Permission::ALL {
            assert!(Role::Admin.may(permission), "an admin lacks {permission:?}");
        }
    }

    #[test]
    fn a_token_opens_its_own_login_by_header_and_by_cookie() {
        let accounts = Accounts::new(vec![
            Login::with_token("anna", Role::Analyst, "token-a"),
            Login::with_token("olaf", Role::Operator, "token-o"),
        ]);
        let by_header = headers(&[(header::AUTHORIZATION, "Bearer token-o")]);
        assert_eq!(accounts.identify(&by_header).unwrap().who, "olaf");
        let by_cookie = headers(&[(header::COOKIE, "theme=dark; hexwatch_login=token-a")]);
        assert_eq!(accounts.identify(&by_cookie).unwrap().role, Role::Analyst);
        let wrong = headers(&[(header::AUTHORIZATION, "Bearer token-x")]);
        assert_eq!(accounts.identify(&wrong), Err(Refusal::UnknownToken));
        assert_eq!(accounts.identify(&HeaderMap::new()), Err(Refusal::NoToken));
    }

    #[test]
    fn an_open_server_answers_to_loopback_names_only() {
        let accounts = Accounts::default().open_as(Role::Operator);
        for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "localhost"] {
            assert!(accounts.identify(&headers(&[(header::HOST, host)])).is_ok(), "{host}");
        }
        let rebound = headers(&[(header::HOST, "evil.example:8080")]);
        assert_eq!(accounts.identify(&rebound), Err(Refusal::ForeignHost));
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let own = headers(&[(header::HOST, "127.0.0.1:8080"), (header::ORIGIN, "http://127.0.0.1:8080")]);
        assert!(check_origin(&own).is_ok());
        for origin in ["http://evil.example", "null", "http://127.0.0.1:9090"] {
            let foreign = headers(&[(header::HOST, "127.0.0.1:8080"), (header::ORIGIN, origin)]);
            assert_eq!(check_origin(&foreign), Err(Refusal::ForeignOrigin), "{origin}");
        }
    }
}
