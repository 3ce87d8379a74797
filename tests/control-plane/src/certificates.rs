//! Who trusts whom: one authority, a serving certificate, a client certificate for the administrator, and the key that signs the tokens of
//! service accounts.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::{Error, doing};

/// Makes everything anew, in a folder that goes with the control plane.
///
/// # Errors
/// When a file cannot be written.
pub fn make(folder: &Path) -> Result<(), Error> {
    let write = |name: &str, text: String| fs::write(folder.join(name), text).map_err(doing(format!("writing {name}")));
    let authority = authority()?;
    write("ca.crt", authority.pem())?;
    let serving = leaf(
        &authority,
        &[(DnType::CommonName, "kube-apiserver")],
        &["127.0.0.1", "localhost", "kubernetes.default.svc"],
        ExtendedKeyUsagePurpose::ServerAuth,
    )?;
    write("server.crt", serving.0)?;
    write("server.key", serving.1)?;
    let name = [(DnType::OrganizationName, "system:masters"), (DnType::CommonName, "admin")];
    let admin = leaf(&authority, &name, &[], ExtendedKeyUsagePurpose::ClientAuth)?;
    write("admin.crt", admin.0)?;
    write("admin.key", admin.1)?;
    let signing = KeyPair::generate().map_err(doing("making a key"))?;
    write("service-accounts.key", signing.serialize_pem())?;
    write("service-accounts.pub", signing.public_key_pem())
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, Error> {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.distinguished_name.push(DnType::CommonName, "local control plane");
    let key = KeyPair::generate().map_err(doing("making a key"))?;
    CertifiedIssuer::self_signed(parameters, key).map_err(doing("making the authority"))
}

fn leaf(
    authority: &CertifiedIssuer<'_, KeyPair>,
    name: &[(DnType, &str)],
    hosts: &[&str],
    purpose: ExtendedKeyUsagePurpose,
) -> Result<(String, String), Error> {
    let hosts = hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut parameters = CertificateParams::new(hosts).map_err(doing("naming a certificate"))?;
    for (kind, value) in name {
        parameters.distinguished_name.push(kind.clone(), *value);
    }
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![purpose];
    let key = KeyPair::generate().map_err(doing("making a key"))?;
    let certificate = parameters.signed_by(&key, authority).map_err(doing("signing a certificate"))?;
    Ok((certificate.pem(), key.serialize_pem()))
}
