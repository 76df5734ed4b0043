//! The way out of this machine, set up at the boot from `[network]`.

use std::fmt::Write as _;
use std::io;

use base64::Engine as _;

use super::BootError;
use crate::base::https::{self, Egress};
use crate::base::private;
use crate::config::network::Network;
use crate::config::{Config, ConfigError};

/// The length of a line of base64 in a PEM file.
const LINE: usize = 64;

/// Makes the setting the way of all requests, and writes the file with all certificate authorities for programs that
/// read one file only. It blocks, because nothing is served yet.
///
/// # Errors
/// [`BootError`], if the file with the certificate authorities cannot be used.
pub(super) fn set_up(config: &Config) -> Result<(), BootError> {
    let network = &config.network;
    let authorities = match &network.ca_file {
        Some(path) => {
            let added = https::certificates(path).map_err(|source| {
                BootError::Config(ConfigError::Unreadable { path: path.clone(), source })
            })?;
            write_bundle(config, &added).map_err(BootError::cannot_create)?;
            added
        }
        None => Vec::new(),
    };
    if !network.left_aside.is_empty() {
        let variables = network.left_aside.join(", ");
        tracing::warn!(
            variables,
            "the environment names a proxy or certificates, which are not used; to use them, set from_environment = true under [network] in srvd.toml"
        );
    }
    Egress::new(network.proxy.as_deref(), &network.excepted(), authorities)
        .with_advice(network.advice())
        .use_for_all();
    Ok(())
}

fn write_bundle(config: &Config, added: &[impl AsRef<[u8]>]) -> io::Result<()> {
    // Without authorities of its own, this machine trusts only those that are added.
    let native = https::native_authorities().unwrap_or_default();
    let mut text = String::new();
    let all = native.iter().map(AsRef::as_ref).chain(added.iter().map(AsRef::as_ref));
    for certificate in all {
        pem(&mut text, certificate);
    }
    private::replace_file(&Network::bundle(&config.data_dir), text.as_bytes())
}

fn pem(text: &mut String, certificate: &[u8]) {
    let encoded = base64::engine::general_purpose::STANDARD.encode(certificate);
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    for line in encoded.as_bytes().chunks(LINE) {
        // Base64 is ASCII, and writing to a String cannot fail.
        let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    text.push_str("-----END CERTIFICATE-----\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_certificate_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle.pem");
        let made = rcgen::generate_simple_self_signed(["ca.test".to_owned()]).unwrap();
        let mut text = String::new();
        pem(&mut text, made.cert.der());
        std::fs::write(&path, text).unwrap();
        assert_eq!(https::certificates(&path).unwrap(), [made.cert.der().clone()]);
    }
}
