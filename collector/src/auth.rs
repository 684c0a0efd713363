//! Bearer tokens.

use std::sync::Arc;

use http::{HeaderMap, header};

/// Shortest secret that is accepted, bytes.
const SECRET_BYTES_MIN: usize = 16;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Sending deltas.
    Ingest,
    /// Reading ranges, documents and metrics.
    Read,
}

impl Scope {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Ingest, Self::Read]
            .into_iter()
            .find(|scope| scope.as_str() == word)
    }
}

/// A bearer token. Its secret appears in no output.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    name: String,
    secret: String,
    scopes: Vec<Scope>,
    tenant: Arc<str>,
}

impl Token {
    /// A token for everything. The name is for people.
    ///
    /// # Errors
    /// When the secret is shorter than 16 bytes or could not stand in a header.
    pub fn new(name: &str, secret: &str) -> Result<Self, String> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(format!(
                "a secret has at least {SECRET_BYTES_MIN} characters"
            ));
        }
        if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a secret consists of visible ASCII characters without blanks".into());
        }
        Ok(Self {
            name: name.to_owned(),
            secret: secret.to_owned(),
            scopes: vec![Scope::Ingest, Scope::Read],
            tenant: "".into(),
        })
    }

    /// Limits what the token allows.
    #[must_use]
    pub fn scopes(mut self, scopes: Vec<Scope>) -> Self {
        self.scopes = scopes;
        self
    }

    /// Binds the token to a tenant; without this, to the unnamed one.
    #[must_use]
    pub fn tenant(mut self, tenant: &str) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// The token as a section of the configuration file, without its secret.
    pub(crate) fn print(&self) -> String {
        let scopes: Vec<_> = self
            .scopes
            .iter()
            .map(|scope| format!("\"{}\"", scope.as_str()))
            .collect();
        format!(
            "\n[[token]]\nname = {}\nsecret = \"(not shown)\"\nscopes = [{}]\ntenant = {}\n",
            toml::Value::from(self.name.as_str()),
            scopes.join(", "),
            toml::Value::from(&*self.tenant),
        )
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No token, or one that is not known.
    Unknown,
    /// A known token without this scope.
    Scope,
}

/// Decides who may come in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Auth {
    tokens: Arc<[Token]>,
}

impl Auth {
    pub(crate) fn new(tokens: &[Token]) -> Self {
        Self {
            tokens: tokens.into(),
        }
    }

    /// The tenant of a request. Without any configured token everybody is the unnamed tenant.
    pub(crate) fn tenant(&self, headers: &HeaderMap, scope: Scope) -> Result<Arc<str>, Denied> {
        if self.tokens.is_empty() {
            return Ok("".into());
        }
        let given = headers
            .get(header::AUTHORIZATION)
            .map(http::HeaderValue::as_bytes)
            .and_then(bearer)
            .ok_or(Denied::Unknown)?;
        // All are compared, so that the time does not tell which one is near.
        let mut found = None;
        for token in &*self.tokens {
            if equal(token.secret.as_bytes(), given) {
                found = Some(token);
            }
        }
        let token = found.ok_or(Denied::Unknown)?;
        if token.scopes.contains(&scope) {
            Ok(token.tenant.clone())
        } else {
            Err(Denied::Scope)
        }
    }
}

/// The token in `Bearer …`; the scheme's case does not matter.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Compares in a time that depends on `given` alone.
fn equal(secret: &[u8], given: &[u8]) -> bool {
    let mut difference = secret.len() ^ given.len();
    for (i, byte) in given.iter().enumerate() {
        let mine = secret
            .get(i % secret.len().max(1))
            .copied()
            .unwrap_or_default();
        difference |= usize::from(std::hint::black_box(mine ^ byte));
    }
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef";
    const TWO: &str = "fedcba9876543210";

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    fn auth() -> Auth {
        Auth::new(&[
            Token::new("agents", ONE)
                .unwrap()
                .scopes(vec![Scope::Ingest])
                .tenant("shop"),
            Token::new("people", TWO).unwrap().scopes(vec![Scope::Read]),
        ])
    }

    #[test]
    fn a_token_opens_what_its_scope_says() {
        let (agents, people) = (
            headers(&format!("Bearer {ONE}")),
            headers(&format!("bearer {TWO}")),
        );
        assert_eq!(auth().tenant(&agents, Scope::Ingest).as_deref(), Ok("shop"));
        assert_eq!(auth().tenant(&agents, Scope::Read), Err(Denied::Scope));
        assert_eq!(auth().tenant(&people, Scope::Read).as_deref(), Ok(""));
        assert_eq!(auth().tenant(&people, Scope::Ingest), Err(Denied::Scope));
    }

    #[test]
    fn anything_else_is_unknown() {
        for value in [
            "Bearer",
            "Bearer ",
            "Basic 0123456789abcdef",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer 0123456789abcdef0123456789abcdef",
            "Bearer 0123456789abcdeg",
        ] {
            assert_eq!(
                auth().tenant(&headers(value), Scope::Ingest),
                Err(Denied::Unknown),
                "{value}"
            );
        }
        assert_eq!(
            auth().tenant(&HeaderMap::new(), Scope::Ingest),
            Err(Denied::Unknown)
        );
    }

    #[test]
    fn no_secret_is_shown() {
        let token = Token::new("agents", ONE).unwrap();
        assert!(!format!("{token:?}{}", token.print()).contains(ONE));
        assert!(Token::new("", "short").is_err());
        assert!(Token::new("", "0123456789 abcdef").is_err());
    }
}
