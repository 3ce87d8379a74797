//! A contract as the operator thinks of it: the words of the API, checked and typed, without its wire form.

use std::fmt;

use crate::api::plan::ContractMenu;

/// The id of a contract: one capital letter and twelve digits.
///
/// Nothing else is ever put into the path of a call, so an id that came from a status or an answer cannot lead a call
/// to another address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContractId(Box<str>);

impl ContractId {
    /// Reads an id; anything that is not one capital letter and twelve digits is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (letter, digits) = text.split_at_checked(1)?;
        let well_formed = letter.as_bytes()[0].is_ascii_uppercase()
            && digits.len() == 12
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        well_formed.then(|| Self(text.into()))
    }

    /// The id as FIC writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContractId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far FIC is with the last operation on a contract.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OperationStatus {
    /// FIC is working on it.
    Processing,
    /// Done.
    Completed,
    /// Failed.
    Error,
    /// A word that is not known today, or none. It is kept as it is and treated as still going on, since neither
    /// success nor failure may be read into it.
    Other(Box<str>),
}

impl OperationStatus {
    /// Reads the word of the API.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "Processing" => Self::Processing,
            "Completed" => Self::Completed,
            "Error" => Self::Error,
            other => Self::Other(other.into()),
        }
    }

    /// The word of the API.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Processing => "Processing",
            Self::Completed => "Completed",
            Self::Error => "Error",
            Self::Other(word) => word,
        }
    }
}

/// A contract that FIC has told of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contract {
    /// Its id.
    pub id: ContractId,
    /// How far the last operation on it is.
    pub status: OperationStatus,
    /// The menu it is on; may be missing while an operation goes on.
    pub current_menu: Option<Box<str>>,
    /// Its menus with their dates; may be missing while an operation goes on.
    pub menus: Vec<ContractMenu>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_capital_letter_and_twelve_digits() {
        for good in ["F520123456789", "X000000000000"] {
            let id = ContractId::parse(good).expect("well formed");
            assert_eq!((id.as_str(), id.to_string().as_str()), (good, good));
        }
        for bad in [
            "",
            "F",
            "f520123456789",
            "F52012345678",
            "F5201234567890",
            "F52012345678x",
            "../../v1/other",
            "Ｆ520123456789",
        ] {
            assert_eq!(ContractId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_unknown_status_word_is_kept_as_it_is() {
        for word in ["Processing", "Completed", "Error", "Migrating", ""] {
            assert_eq!(OperationStatus::parse(word).as_str(), word);
        }
    }
}
