//! Bearer tokens: who may do what, for which tenant and which services.
//!
//! Of a secret only its SHA-256 is kept. A secret is random and long, so nothing slower is needed: there is no
//! dictionary to try, and every request is checked.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};

use crate::config::quoted;

/// Shortest secret that is accepted, bytes.
const SECRET_BYTES_MIN: usize = 16;
/// Bytes of a digest.
const DIGEST_BYTES: usize = 32;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Sending ledgers and telemetry.
    Ingest,
    /// Reading ranges, documents and metrics.
    Read,
    /// Taking and restoring snapshots, of all tenants.
    Admin,
}

impl Scope {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Ingest, Self::Read, Self::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == word)
    }
}

/// Which services a token may send: names with `*` for any characters. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Services(Arc<[String]>);

impl Services {
    /// True when a service of this name may be sent.
    pub(crate) fn allow(&self, service: &str) -> bool {
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|pattern| matches(pattern.as_bytes(), service.as_bytes()))
    }
}

/// Whether `*` of a pattern can stand for something so that it gives the name. Time is at most the product of the
/// lengths, and only patterns of the configuration come here.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p, n));
            p += 1;
        } else if pattern.get(p) == name.get(n) {
            p += 1;
            n += 1;
        } else if let Some((star, taken)) = retry {
            retry = Some((star, taken + 1));
            p = star + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    pattern.iter().skip(p).all(|&byte| byte == b'*')
}

/// A bearer token. Its secret is not kept, and its digest appears in no output.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    name: String,
    digest: [u8; DIGEST_BYTES],
    scopes: Vec<Scope>,
    tenant: Arc<str>,
    services: Services,
}

impl Token {
    /// A token for sending and reading. The name is for people.
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
        Ok(Self::with_digest(
            name,
            Sha256::digest(secret.as_bytes()).into(),
        ))
    }

    /// [`new`](Self::new) from the SHA-256 of the secret, as 64 hexadecimal digits.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_sha256(name: &str, hex: &str) -> Result<Self, String> {
        let digest = parse_hex(hex.trim()).ok_or(
            "expected 64 hexadecimal digits: the output of `printf %s SECRET | sha256sum`",
        )?;
        Ok(Self::with_digest(name, digest))
    }

    fn with_digest(name: &str, digest: [u8; DIGEST_BYTES]) -> Self {
        Self {
            name: name.to_owned(),
            digest,
            scopes: vec![Scope::Ingest, Scope::Read],
            tenant: "".into(),
            services: Services::default(),
        }
    }

    /// Says what the token allows.
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

    /// Limits what the token sends to services of these names; `*` stands for any characters.
    #[must_use]
    pub fn services(mut self, patterns: Vec<String>) -> Self {
        self.services = Services(patterns.into());
        self
    }

    /// The token as a section of the configuration file, without its secret.
    pub(crate) fn print(&self) -> String {
        let list = |words: Vec<&str>| {
            let words: Vec<_> = words.into_iter().map(quoted).collect();
            words.join(", ")
        };
        format!(
            "\n[[token]]\nname = {}\nsecret = \"(not shown)\"\nscopes = [{}]\ntenant = {}\nservices = [{}]\n",
            quoted(&self.name),
            list(self.scopes.iter().map(|scope| scope.as_str()).collect()),
            quoted(&self.tenant),
            list(self.services.0.iter().map(String::as_str).collect()),
        )
    }
}

fn parse_hex(hex: &str) -> Option<[u8; DIGEST_BYTES]> {
    let mut digest = [0; DIGEST_BYTES];
    if hex.len() != 2 * DIGEST_BYTES || !hex.is_ascii() {
        return None;
    }
    for (i, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(digest)
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .field("tenant", &self.tenant)
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}

/// What a request that was let in may do.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// Whose data it reads or writes.
    pub(crate) tenant: Arc<str>,
    /// Which services it may send.
    pub(crate) services: Services,
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

    /// What a request may do. Without any configured token everybody may do everything, as the unnamed tenant.
    pub(crate) fn grant(&self, headers: &HeaderMap, scope: Scope) -> Result<Grant, Denied> {
        if self.tokens.is_empty() {
            return Ok(Grant {
                tenant: "".into(),
                services: Services::default(),
            });
        }
        let authorization = headers.get(header::AUTHORIZATION);
        let token = self.token(authorization).ok_or(Denied::Unknown)?;
        if token.scopes.contains(&scope) {
            Ok(Grant {
                tenant: token.tenant.clone(),
                services: token.services.clone(),
            })
        } else {
            Err(Denied::Scope)
        }
    }

    /// Whose a request with this authorization is, whatever it may do; the unnamed tenant's when its token is not known.
    pub(crate) fn tenant(&self, authorization: Option<&HeaderValue>) -> Arc<str> {
        self.token(authorization)
            .map_or_else(|| "".into(), |token| token.tenant.clone())
    }

    fn token(&self, authorization: Option<&HeaderValue>) -> Option<&Token> {
        let given = authorization.map(HeaderValue::as_bytes).and_then(bearer)?;
        let given: [u8; DIGEST_BYTES] = Sha256::digest(given).into();
        // All are compared, so that the time does not tell which one is near.
        let mut found = None;
        for token in &*self.tokens {
            if equal(&token.digest, &given) {
                found = Some(token);
            }
        }
        found
    }
}

/// The token in `Bearer …`; the scheme's case does not matter.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Compares in a time that does not depend on the contents.
fn equal(mine: &[u8; DIGEST_BYTES], given: &[u8; DIGEST_BYTES]) -> bool {
    let mut difference = 0;
    for (mine, given) in mine.iter().zip(given) {
        difference |= std::hint::black_box(mine ^ given);
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

    fn tenant(headers: &HeaderMap, scope: Scope) -> Result<Arc<str>, Denied> {
        auth().grant(headers, scope).map(|grant| grant.tenant)
    }

    #[test]
    fn a_token_opens_what_its_scope_says() {
        let (agents, people) = (
            headers(&format!("Bearer {ONE}")),
            headers(&format!("bearer {TWO}")),
        );
        assert_eq!(tenant(&agents, Scope::Ingest).as_deref(), Ok("shop"));
        assert_eq!(tenant(&agents, Scope::Read), Err(Denied::Scope));
        assert_eq!(tenant(&people, Scope::Read).as_deref(), Ok(""));
        assert_eq!(tenant(&people, Scope::Ingest), Err(Denied::Scope));
        // Whose a refused request was, as far as it says.
        let whose = |auth: Auth, headers: &HeaderMap| {
            auth.tenant(headers.get(header::AUTHORIZATION)).to_string()
        };
        assert_eq!(whose(auth(), &agents), "shop");
        assert_eq!(whose(auth(), &headers("Bearer nobody")), "");
        assert_eq!(whose(auth(), &HeaderMap::new()), "");
        assert_eq!(whose(Auth::default(), &agents), "");
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
                tenant(&headers(value), Scope::Ingest),
                Err(Denied::Unknown),
                "{value}"
            );
        }
        assert_eq!(
            tenant(&HeaderMap::new(), Scope::Ingest),
            Err(Denied::Unknown)
        );
    }

    #[test]
    fn no_secret_is_shown() {
        let token = Token::new("agents", ONE).unwrap();
        let shown = format!("{token:?}{}", token.print());
        assert!(!shown.contains(ONE) && !shown.contains("digest"), "{shown}");
        assert!(Token::new("", "short").is_err());
        assert!(Token::new("", "0123456789 abcdef").is_err());
    }

    /// `printf %s 0123456789abcdef | sha256sum`.
    const ONE_SHA256: &str = "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f";

    #[test]
    fn a_digest_in_the_file_stands_for_the_secret() {
        assert_eq!(Token::from_sha256("", ONE_SHA256), Token::new("", ONE));
        for wrong in [ONE, &ONE_SHA256[1..], &ONE_SHA256.replace('9', "g")] {
            assert!(Token::from_sha256("", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn s13_secrets_are_compared_by_digests_of_one_length_to_the_last_byte() {
        let one: [u8; 32] = Sha256::digest(ONE).into();
        for place in 0..32 {
            let mut other = one;
            other[place] ^= 1;
            assert!(!equal(&one, &other), "byte {place} is not looked at");
        }
        assert!(equal(&one, &one.clone()));
        // The header's name has no case, and neither has the scheme.
        let mut headers = HeaderMap::new();
        let name: http::HeaderName = "AUTHORIZATION".parse().unwrap();
        headers.insert(name, format!("bEARER {TWO}").parse().unwrap());
        assert!(tenant(&headers, Scope::Read).is_ok());
    }

    #[test]
    fn patterns_of_services_match_whole_names() {
        let services = Services(vec!["shop-*".to_owned(), "*-api-*v1".to_owned()].into());
        for name in ["shop-", "shop-cart", "a-api-v1", "-api--api-xv1"] {
            assert!(services.allow(name), "{name}");
        }
        for name in ["", "shop", "my-shop-cart", "a-api-v2", "api-v1", "*"] {
            assert!(!services.allow(name), "{name}");
        }
        assert!(Services::default().allow("anything"));
    }
}
