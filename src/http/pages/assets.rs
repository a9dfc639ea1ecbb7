//! The files the pages refer to: one stylesheet, one script, one icon, all from our own origin.

use std::borrow::Cow;

/// A file under `/assets/`. Pages name it as [`Asset::url`], whose query changes with the content, so it
/// may be cached for ever ([`Asset::CACHE_CONTROL`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The path it is served under.
    pub path: &'static str,
    /// Its `Content-Type`; send `X-Content-Type-Options: nosniff` with it.
    pub content_type: &'static str,
    /// Its content.
    pub body: Cow<'static, str>,
    /// Its entity tag, quotes included (RFC 9110 §8.8.3).
    pub etag: Etag,
}

/// A strong entity tag: sixteen hexadecimal digits in quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Etag([u8; 18]);

pub(super) const STYLESHEET: &str = "/assets/chancery.css";

/// The built-in files. What is served is [`super::PageTemplates::assets`], which a template folder can rebrand.
pub static ASSETS: &[Asset] = &[
    Asset::embedded(STYLESHEET, "text/css; charset=utf-8", include_str!("assets/chancery.css")),
    Asset::embedded("/assets/chancery.svg", "image/svg+xml", include_str!("assets/chancery.svg")),
    Asset::embedded(
        "/assets/form_post.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/form_post.js"),
    ),
];

impl Asset {
    /// For answers to a request with the current `v`; without it `no-cache` is due.
    pub const CACHE_CONTROL: &'static str = "public, max-age=31536000, immutable";

    const fn embedded(path: &'static str, content_type: &'static str, body: &'static str) -> Self {
        Self { path, content_type, body: Cow::Borrowed(body), etag: Etag::of(body.as_bytes()) }
    }

    pub(super) fn new(path: &'static str, content_type: &'static str, body: Cow<'static, str>) -> Self {
        let etag = Etag::of(body.as_bytes());
        Self { path, content_type, body, etag }
    }

    /// The name of the file, without its folder.
    pub fn file_name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// What `v` must be for the answer to be cached for ever.
    pub fn version(&self) -> &str {
        self.etag.as_str().trim_matches('"')
    }

    /// The path with the content's hash in the query, as the pages refer to it.
    pub fn url(&self) -> String {
        format!("{}?v={}", self.path, self.version())
    }
}

impl Etag {
    /// FNV-1a, 64 bits: it distinguishes our own documents; nothing relies on it for security.
    pub const fn of(content: &[u8]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut at = 0;
        while at < content.len() {
            hash = (hash ^ content[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            at += 1;
        }
        let mut tag = [b'"'; 18];
        let mut digit = 0;
        while digit < 16 {
            tag[1 + digit] = HEX[(hash >> (60 - 4 * digit)) as usize & 15];
            digit += 1;
        }
        Self(tag)
    }

    /// The tag as it is in the header.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits and quotes are ASCII")
    }
}

impl std::fmt::Debug for Etag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_the_fnv_1a_hash_of_the_content() {
        // Vectors of draft-eastlake-fnv, appendix C.
        assert_eq!(Etag::of(b"").as_str(), "\"cbf29ce484222325\"");
        assert_eq!(Etag::of(b"foobar").as_str(), "\"85944171f73967e8\"");
    }

    #[test]
    fn the_url_of_an_asset_changes_with_its_content() {
        let one = Asset::new("/assets/a.css", "text/css", Cow::Borrowed("a{}"));
        let two = Asset::new("/assets/a.css", "text/css", Cow::Borrowed("b{}"));
        assert_eq!(one.url(), format!("/assets/a.css?v={}", one.version()));
        assert_ne!(one.url(), two.url());
    }

    #[test]
    fn no_asset_refers_to_another_origin() {
        for asset in ASSETS {
            let body = asset.body.replace("http://www.w3.org/2000/svg", "");
            for forbidden in ["http:", "https:", "//cdn", "url(", "@import", "fetch("] {
                assert!(!body.contains(forbidden), "{} has {forbidden}", asset.path);
            }
        }
    }

    /// The palette of one theme: `--name: #rrggbb` declarations up to the next closing brace.
    fn palette(css: &str, after: &str) -> std::collections::HashMap<String, f64> {
        let block = css.split_once(after).expect("the theme is there").1.split_once('}').expect("it ends").0;
        let colours = block.lines().filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
        colours.map(|(name, hex)| (name.to_owned(), luminance(hex.trim_end_matches(';')))).collect()
    }

    /// WCAG 2.2, relative luminance.
    fn luminance(hex: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits")) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
    }

    #[test]
    fn both_themes_have_the_contrast_of_wcag_aa() {
        let css = &ASSETS[0].body;
        for theme in [":root {", "(prefers-color-scheme: dark) {\n  :root {"] {
            let colours = palette(css, theme);
            let pairs = [
                ("text", "card", 4.5),
                ("text", "ground", 4.5),
                ("text", "quiet", 4.5),
                ("muted", "card", 4.5),
                ("muted", "ground", 4.5),
                ("muted", "quiet", 4.5),
                ("accent", "card", 4.5),
                ("accent-strong", "card", 4.5),
                ("on-accent", "accent", 4.5),
                ("on-accent", "accent-strong", 4.5),
                ("danger", "card", 4.5),
                ("danger", "danger-ground", 4.5),
                ("good", "good-ground", 4.5),
                ("control", "card", 3.0),
                ("accent", "ground", 3.0),
            ];
            for (front, back, least) in pairs {
                let (a, b) = (colours[front], colours[back]);
                let ratio = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(ratio >= least, "{theme} {front} on {back}: {ratio:.2} < {least}");
            }
        }
    }
}
