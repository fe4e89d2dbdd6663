//! The cookies of one viewer (RFC 6265). Most streams set none, so the store is made for the first one.

use std::cell::RefCell;

use cookie_store::CookieStore;
use url::Url;

/// The cookies of one viewer.
#[derive(Debug, Default)]
pub(crate) struct Cookies {
    store: RefCell<Option<Box<CookieStore>>>,
}

impl Cookies {
    /// Takes the `Set-Cookie` fields of a response from `url`. Invalid ones are ignored, as RFC 6265 (5.2) requires.
    pub(crate) fn take(&self, url: &Url, fields: &[Box<str>]) {
        if fields.is_empty() {
            return;
        }
        let mut store = self.store.borrow_mut();
        let store = store.get_or_insert_with(Box::default);
        for field in fields {
            drop(store.parse(field, url));
        }
    }

    /// The value of `Cookie` in a request for `url`; `None` = there is none.
    pub(crate) fn of(&self, url: &Url) -> Option<String> {
        let store = self.store.borrow();
        let pairs: Vec<String> =
            store.as_ref()?.get_request_values(url).map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_return_to_their_path_only() {
        let cookies = Cookies::default();
        let url = |text: &str| text.parse::<Url>().unwrap();
        cookies.take(&url("http://h.test/live/a.m3u8"), &["t=1; Path=/live".into(), "bad".into()]);
        assert_eq!(cookies.of(&url("http://h.test/live/1.ts")).as_deref(), Some("t=1"));
        assert_eq!(cookies.of(&url("http://h.test/other")), None);
        assert_eq!(cookies.of(&url("http://other.test/live/1.ts")), None);
    }
}
