package pipe

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"
)

// nodeName is the name in every certificate made from a key: a node is known
// by the authority that issued it, not by where it runs.
const nodeName = "node.troupe"

// Certificates made from a key end only with it, and no clock is so wrong that
// it falls outside.
var (
	notBefore = time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// authorityOf is the same wherever the key is.
func authorityOf(key []byte) (*x509.Certificate, ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, key, nil, "troupe cluster authority 1", ed25519.SeedSize)
	if err != nil {
		return nil, nil, err
	}
	authorityKey := ed25519.NewKeyFromSeed(seed)
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "troupe cluster"},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return nil, nil, err
	}
	authority, err = x509.ParseCertificate(der)
	return authority, authorityKey, err
}

// fromKey gives TLS for both directions: the certificate is this process's own, issued
// by the authority of the key. Those of old keys are believed as well.
func fromKey(key []byte, old ...[]byte) (*tls.Config, error) {
	authority, authorityKey, err := authorityOf(key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	for _, k := range old {
		other, _, err := authorityOf(k)
		if err != nil {
			return nil, err
		}
		roots.AddCert(other)
	}

	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: nodeName},
		DNSNames:     []string{nodeName},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, public, authorityKey)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
		RootCAs:      roots,
		ClientCAs:    roots,
		ServerName:   nodeName,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS13,
	}, nil
}

// fromOperator is the operator's own, with what makes it mutual.
func fromOperator(own *tls.Config) (*tls.Config, error) {
	c := own.Clone()
	server := len(c.Certificates) > 0 || c.GetCertificate != nil
	client := len(c.Certificates) > 0 || c.GetClientCertificate != nil
	if !server || !client {
		return nil, &ConfigError{"TLS.Certificates", "empty", "this node's certificate"}
	}
	c.GetConfigForClient = nil // it could let in whom this one refuses
	c.ClientAuth = tls.RequireAndVerifyClientCert
	if c.VerifyPeerCertificate == nil && c.VerifyConnection == nil {
		switch {
		case c.ClientCAs == nil:
			return nil, &ConfigError{"TLS.ClientCAs", "nil", "the authority of the nodes' certificates"}
		case c.InsecureSkipVerify:
			return nil, &ConfigError{"TLS.InsecureSkipVerify", true, "false, or VerifyConnection set"}
		}
	} else if c.ClientCAs == nil {
		c.ClientAuth = tls.RequireAnyClientCert
	}
	if c.RootCAs == nil {
		c.RootCAs = c.ClientCAs
	}
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS13
	}
	return c, nil
}
