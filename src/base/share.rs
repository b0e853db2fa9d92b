//! Shares of a whole, as an operator writes them: `5%`.
//!
//! **Invariants**: a share lies between 0 and 1.
//! **Not here**: the part of addresses that moves ([`crate::inspect`]), the bound for it (`serve`).

use std::fmt;

/// A share from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Share(f64);

impl Share {
    /// A share in whole percent.
    pub(crate) const fn of_percent(percent: u8) -> Self {
        Share(percent as f64 / 100.0)
    }

    /// Parses a share like `5%` or `0.1 %`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let number = text.strip_suffix('%').and_then(|number| number.trim_end().parse::<f64>().ok());
        match number {
            Some(percent) if (0.0..=100.0).contains(&percent) => Ok(Share(percent / 100.0)),
            _ => Err("write a share from 0% to 100%, like 5% or 0.1%"),
        }
    }

    /// The number, from 0 to 1.
    pub(crate) fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded, because 0.07 * 100 is not 7.
        write!(f, "{} %", (self.0 * 1e8).round() / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_written_in_percent() {
        for (text, share, shown) in
            [("5%", 0.05, "5 %"), ("0.1 %", 0.001, "0.1 %"), ("7%", 0.07, "7 %"), ("100%", 1.0, "100 %")]
        {
            let parsed = Share::parse(text).unwrap();
            assert!((parsed.get() - share).abs() < 1e-12);
            assert_eq!(parsed.to_string(), shown);
        }
        for text in ["5", "%", "-1%", "101%", "x%", "", "NaN%"] {
            assert!(Share::parse(text).is_err(), "{text}");
        }
    }
}
