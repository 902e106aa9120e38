//! Listings that are older than they should be: the last object that was made is missing, one that was removed is still there.
use std::collections::BTreeMap;

/// What was made and removed lately, as it passed by.
#[derive(Default)]
pub(crate) struct Seen {
    lens: BTreeMap<String, usize>,
    made: Option<String>,
    removed: Option<String>,
}

impl Seen {
    /// Notes an object that was made, by the path of its request.
    pub(crate) fn make(&mut self, path: &str, len: usize) {
        self.lens.insert(path.to_owned(), len);
        self.made = Some(path.to_owned());
        if self.removed.as_deref() == Some(path) {
            self.removed = None;
        }
    }

    /// And one that was removed.
    pub(crate) fn remove(&mut self, path: &str) {
        self.removed = self.lens.contains_key(path).then(|| path.to_owned());
        if self.made.as_deref() == Some(path) {
            self.made = None;
        }
    }

    /// A listing of a bucket as it was a moment ago.
    pub(crate) fn age(&self, bucket: &str, prefix: &str, text: &str) -> String {
        let key = |path: &Option<String>| path.as_ref()?.strip_prefix(&format!("/{bucket}/")).map(str::to_owned);
        let mut text = text.to_owned();
        if let Some(made) = key(&self.made) {
            text = without(&text, &made);
        }
        if let Some(removed) = key(&self.removed).filter(|name| name.starts_with(prefix)) {
            let len = self.removed.as_ref().and_then(|path| self.lens.get(path)).copied().unwrap_or(0);
            text = with(&text, &removed, len);
        }
        text
    }
}

const BEGIN: &str = "<Contents>";
const END: &str = "</Contents>";

fn without(text: &str, name: &str) -> String {
    let Some(at) = text.find(&format!("<Key>{name}</Key>")) else { return text.to_owned() };
    match (text[..at].rfind(BEGIN), text[at..].find(END)) {
        (Some(from), Some(to)) => format!("{}{}", &text[..from], &text[at + to + END.len()..]),
        _ => text.to_owned(),
    }
}

fn with(text: &str, name: &str, len: usize) -> String {
    if text.contains(&format!("<Key>{name}</Key>")) {
        return text.to_owned();
    }
    let entry =
        format!("{BEGIN}<Key>{name}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>{len}</Size>{END}");
    let at = text.find(BEGIN).or_else(|| text.rfind("</ListBucketResult>"));
    at.map_or_else(|| text.to_owned(), |at| format!("{}{entry}{}", &text[..at], &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_made_older() {
        let mut seen = Seen::default();
        seen.make("/logs/a", 3);
        seen.remove("/logs/a");
        seen.make("/logs/b", 4);
        let text = "<ListBucketResult><Contents><Key>b</Key><Size>4</Size></Contents></ListBucketResult>";
        let aged = seen.age("logs", "", text);
        assert!(aged.contains("<Key>a</Key>") && aged.contains("<Size>3</Size>") && !aged.contains("<Key>b</Key>"));
        assert!(aged.starts_with("<ListBucketResult><Contents>") && aged.ends_with("</Contents></ListBucketResult>"));
        assert!(!seen.age("logs", "other/", text).contains("<Key>a</Key>"));
        assert!(seen.age("other", "", text).contains("<Key>b</Key>"));
    }
}
