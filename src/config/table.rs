//! What the table of settings is made of.
//!
//! Invariants
//! * The dotted name, the flag and the variable of a setting follow from its section and its key alone.
//! * All settings of a section are read before one that is wrong ends it, so that every fault is told.
use super::given::Given;

/// One setting, as it is shown.
pub(crate) struct Row {
    /// Its name in the section.
    pub(crate) key: &'static str,
    /// What holds where nothing is said, as it would be written; empty where there is nothing.
    pub(crate) default: &'static str,
    /// What it is.
    pub(crate) about: &'static str,
    /// What its value is called in a command line's help.
    pub(crate) value: &'static str,
    /// What its value has to be.
    #[cfg_attr(not(test), expect(dead_code, reason = "shown by the reference only, which tests make"))]
    pub(crate) what: fn() -> String,
    /// Whether it is never shown, and may come from another variable or a file.
    pub(crate) is_secret: bool,
}

/// The settings of one section.
pub(crate) struct SectionTable {
    /// Its name in the file; empty for what stands at the top.
    pub(crate) name: &'static str,
    /// What it is about.
    #[cfg_attr(not(test), expect(dead_code, reason = "shown by the reference only, which tests make"))]
    pub(crate) about: &'static str,
    /// Its settings, in order.
    pub(crate) rows: &'static [Row],
}

impl SectionTable {
    /// The flag of a setting, without its dashes.
    pub(crate) fn flag(&self, key: &str) -> String {
        flag(self.name, key)
    }
}

/// The name of a setting as people write it: `query.max_wait`.
pub(crate) fn dotted(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// The flag of a setting, without its dashes: `query-max-wait`.
pub(crate) fn flag(section: &str, key: &str) -> String {
    dotted(section, key).replace(['.', '_'], "-")
}

/// The variable of a setting: `LOGYARD_QUERY_MAX_WAIT`.
pub(crate) fn variable(section: &str, key: &str) -> String {
    format!("LOGYARD_{}", dotted(section, key).replace('.', "_").to_uppercase())
}

/// A section that can be read.
pub(super) trait Section: Sized {
    /// Its name.
    const NAME: &str;

    /// What was given under a name, or nothing where a fault was found.
    fn read_as(given: &mut Given, section: &str) -> Option<Self>;

    /// The same under its own name.
    fn read(given: &mut Given) -> Option<Self> {
        Self::read_as(given, Self::NAME)
    }
}

/// Makes a struct of each section, and the table of all.
macro_rules! settings {
    ($(
        $(#[doc = $about:literal])+
        $section:ident $name:literal {
            $($(#[doc = $said:literal])+ $key:ident: $type:ty = $default:literal, $reader:expr;)*
        }
    )+) => {
        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug)]
            pub(crate) struct $section {
                $($(#[doc = $said])+ pub(crate) $key: $type,)*
            }

            impl $crate::config::table::Section for $section {
                const NAME: &str = $name;

                fn read_as(given: &mut $crate::config::given::Given, section: &str) -> Option<Self> {
                    // A section without settings has nothing else of it.
                    let _read_from = (&*given, section);
                    // All are read before one that is wrong ends it, so that every fault is told.
                    $(let $key = given.take(section, stringify!($key), $default, &$reader);)*
                    Some(Self { $($key: $key?,)* })
                }
            }
        )+

        /// Every section, in the order in which they are shown.
        pub(crate) const SECTIONS: &[$crate::config::table::SectionTable] = &[$(
            $crate::config::table::SectionTable {
                name: $name,
                about: concat!($($about),+),
                rows: &[$(
                    $crate::config::table::Row {
                        key: stringify!($key),
                        default: $default,
                        about: concat!($($said),+),
                        value: $reader.value,
                        what: $reader.what,
                        is_secret: $reader.is_secret,
                    },
                )*],
            },
        )+];
    };
}
pub(crate) use settings;
