//! The browser session: cookie `sid`, 128 random bits.
//!
//! The id is a capability, so it is kept nowhere but in the browser: Redis keys and order rows hold its SHA-256.

use std::fmt;

use common::clock;
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

use super::LIFETIME;

/// A session's id, as the cookie spells it: 32 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(String);

impl SessionId {
    /// A new one, not to be guessed.
    pub fn random() -> Self {
        Self(format!("{:032x}", clock::random_u128()))
    }

    /// Reads a cookie's value; `None` for what [`SessionId::random`] never makes.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// What stands for the session in stores.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// [`SessionId::hash`] in hexadecimal.
    pub fn hash_hex(&self) -> String {
        self.hash()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The `Set-Cookie` value that keeps the session for another [`LIFETIME`].
    pub fn cookie(&self, secure: bool) -> HeaderValue {
        let secure = if secure { "; Secure" } else { "" };
        let text = format!(
            "sid={}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
            self.0,
            LIFETIME.as_secs()
        );
        HeaderValue::try_from(text)
            .expect("hexadecimal digits and fixed ASCII text are a valid header value")
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// The session that a request claims by its cookie: the first `sid` that has the right shape (RFC 6265, section 5.4).
pub fn session_of(headers: &HeaderMap) -> Option<SessionId> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix("sid="))
        .find_map(SessionId::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(cookie: &str) -> Option<SessionId> {
        session_of(&HeaderMap::from_iter([(
            header::COOKIE,
            HeaderValue::from_str(cookie).unwrap(),
        )]))
    }

    #[test]
    fn a_session_survives_its_cookie_and_only_its_hash_is_stored() {
        let sid = SessionId::random();
        let cookie = sid.cookie(true);
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure"));
        let pair = cookie.split(';').next().unwrap();
        assert_eq!(
            claimed(&format!("theme=dark; {pair}; a=b")),
            Some(sid.clone())
        );
        assert!(!sid.hash_hex().contains(&sid.0) && !format!("{sid:?}").contains(&sid.0));
        assert!(!sid.cookie(false).to_str().unwrap().contains("Secure"));
    }

    #[test]
    fn what_was_never_issued_is_no_session() {
        for bad in [
            "sid=",
            "sid=abc",
            "xsid=0123456789abcdef0123456789abcdef",
            "sid=0123456789ABCDEF0123456789abcdef",
            "sid",
        ] {
            assert_eq!(claimed(bad), None, "{bad}");
        }
    }
}
