//! Enums whose variants have words, for files, JSON, metrics, logs and people.
//!
//! **Invariants**: a word stands once, at its variant; scripts and dashboards read words, so that a new one breaks these.

/// An enum of variants without data, each with a word.
pub(crate) trait Worded: Copy + 'static {
    /// An array with an item for each variant.
    type Each<T: Default>: AsRef<[T]> + Default;

    /// The variants, in their order.
    const ALL: &'static [Self];

    /// The position in [`Worded::ALL`].
    fn index(self) -> usize;

    /// The word of the variant.
    fn word(self) -> &'static str;

    /// The variant with a word.
    fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|variant| variant.word() == word)
    }
}

/// Declares an enum with a word behind each variant, and the method `as_str` that returns it. Without data in a variant, the
/// enum is [`Worded`] and has the array `ALL` of its variants, in their order. With `: Display` behind its name, the
/// words are phrases for people, and the enum is shown as the phrase of its variant.
///
/// A macro and not `strum`, whose derive would not check that arrays of counters have an item for each variant.
macro_rules! words {
    ($(#[$attribute:meta])* $vis:vis enum $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$attribute])*
        $vis enum $name { $($(#[$about])* $variant,)* }

        impl $name {
            /// The variants, in their order.
            $vis const ALL: [$name; [$($word),*].len()] = [$($name::$variant),*];

            /// The word of the variant.
            #[inline]
            $vis const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }

        impl $crate::base::words::Worded for $name {
            type Each<T: Default> = [T; $name::ALL.len()];

            const ALL: &'static [Self] = &$name::ALL;

            #[inline]
            fn index(self) -> usize {
                self as usize
            }

            fn word(self) -> &'static str {
                self.as_str()
            }
        }
    };
    ($(#[$attribute:meta])* $vis:vis enum $name:ident: Display { $($body:tt)* }) => {
        $crate::base::words::words! { $(#[$attribute])* $vis enum $name { $($body)* } }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
    ($(#[$attribute:meta])* $vis:vis enum $name:ident {
        $($(#[$about:meta])* $variant:ident $(($($data:tt)*))? $({$($fields:tt)*})? = $word:literal,)*
    }) => {
        $(#[$attribute])*
        $vis enum $name { $($(#[$about])* $variant $(($($data)*))? $({$($fields)*})?,)* }

        impl $name {
            /// The words, in the order of the variants.
            #[allow(dead_code, reason = "few enums with data are counted by word")]
            $vis const WORDS: [&'static str; [$($word),*].len()] = [$($word),*];

            /// The word of the variant.
            $vis const fn as_str(&self) -> &'static str {
                match self { $($name::$variant { .. } => $word,)* }
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::Worded;

    words! {
        /// Lamps of a lighthouse.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Lamp {
            Oil = "oil",
            Arc = "arc-light",
        }
    }

    words! {
        /// Faults of lamps.
        enum Fault {
            Dark = "dark",
            Dim(#[allow(dead_code, reason = "the pattern skips it")] u8) = "dim",
        }
    }

    #[test]
    fn a_word_is_read_as_the_variant_that_has_it() {
        assert_eq!(Lamp::ALL.map(Lamp::as_str), ["oil", "arc-light"]);
        assert_eq!(Lamp::ALL.map(Lamp::index), [0, 1]);
        assert_eq!(["arc-light", "arc", ""].map(Lamp::parse), [Some(Lamp::Arc), None, None]);
        assert_eq!([Fault::Dark, Fault::Dim(1)].map(|fault| fault.as_str()), ["dark", "dim"]);
    }
}
