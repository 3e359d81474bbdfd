"""An authority of the tests' own and a certificate by it, for servers of this machine."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def certified(folder: Path) -> tuple[Path, Path]:
    """PEM files: the authority's certificate; and key and certificate of 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    now, keys = datetime.now(UTC), [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("authority", "127.0.0.1")]
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = [
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(names[0])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(extension, critical=False)
        .sign(keys[0], hashes.SHA256())
        for name, key, extension in zip(names, keys, (x509.BasicConstraints(True, None), loopback), strict=True)
    ]
    authority, server = folder / "authority.pem", folder / "server.pem"
    authority.write_bytes(made[0].public_bytes(serialization.Encoding.PEM))
    formats = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    server.write_bytes(keys[1].private_bytes(*formats) + made[1].public_bytes(serialization.Encoding.PEM))
    return authority, server
