//! A contract with checked and typed fields, independent of the JSON of the API.

use std::fmt;

use crate::api::plan::ContractMenu;

/// The id of a contract: one capital letter and twelve digits.
///
/// Only such an id is put into the path of a request, so an id from a status or a response cannot redirect a request to
/// another path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContractId(Box<str>);

impl ContractId {
    /// Parses an id; none if the text is not one capital letter and twelve digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (letter, digits) = text.split_at_checked(1)?;
        let well_formed = letter.as_bytes()[0].is_ascii_uppercase()
            && digits.len() == 12
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        well_formed.then(|| Self(text.into()))
    }

    /// The id as text.
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

/// The status of the last operation on a contract.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OperationStatus {
    /// In progress.
    Processing,
    /// Completed.
    Completed,
    /// Failed.
    Error,
    /// An unknown or missing status. It is treated as in progress, because it means neither success nor failure.
    Other(Box<str>),
}

impl OperationStatus {
    /// Parses the value of the API.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        match value {
            "Processing" => Self::Processing,
            "Completed" => Self::Completed,
            "Error" => Self::Error,
            other => Self::Other(other.into()),
        }
    }

    /// The value of the API.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Processing => "Processing",
            Self::Completed => "Completed",
            Self::Error => "Error",
            Self::Other(value) => value,
        }
    }
}

/// A contract that FIC returned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contract {
    /// The id.
    pub id: ContractId,
    /// The status of the last operation.
    pub status: OperationStatus,
    /// The current menu; may be missing while an operation is in progress.
    pub current_menu: Option<Box<str>>,
    /// The menus with their start dates; may be missing while an operation is in progress.
    pub menus: Vec<ContractMenu>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_one_capital_letter_and_twelve_digits() {
        for valid in ["F520123456789", "X000000000000"] {
            let id = ContractId::parse(valid).expect("well formed");
            assert_eq!((id.as_str(), id.to_string().as_str()), (valid, valid));
        }
        for invalid in [
            "",
            "F",
            "f520123456789",
            "F52012345678",
            "F5201234567890",
            "F52012345678x",
            "../../v1/other",
            "Ｆ520123456789",
        ] {
            assert_eq!(ContractId::parse(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn unknown_status_is_not_changed() {
        for value in ["Processing", "Completed", "Error", "Migrating", ""] {
            assert_eq!(OperationStatus::parse(value).as_str(), value);
        }
    }
}
