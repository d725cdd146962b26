package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math/big"
	"os"
	"strings"

	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

const (
	typeEd25519     = 1
	typeECDSA       = 2
	typeCosignature = 4
)

type verifiedNote struct {
	Text string `json:"text"`
	// Names of the keys that verified, in the note's order.
	Verified []string `json:"verified"`
	// Seconds since 1970 of each cosignature, by name.
	Times map[string]int64 `json:"times"`
	// Names on lines of other keys.
	Unverified []string `json:"unverified"`
}

func openNote(data []byte, vkeys []string) (*note.Note, error) {
	var verifiers []note.Verifier
	for _, vkey := range vkeys {
		verifier, err := newVerifier(vkey)
		if err != nil {
			return nil, err
		}
		verifiers = append(verifiers, verifier)
	}
	return note.Open(data, note.VerifierList(verifiers...))
}

// newVerifier takes plain Ed25519 keys with the original implementation.
func newVerifier(vkey string) (note.Verifier, error) {
	if verifier, err := note.NewVerifier(vkey); err == nil {
		return verifier, nil
	}
	return formats.NewVerifier(vkey)
}

func verifyNote(arguments []string) (any, error) {
	data, err := os.ReadFile(arguments[0])
	if err != nil {
		return nil, err
	}
	opened, err := openNote(data, arguments[1:])
	if err != nil {
		return nil, err
	}
	result := verifiedNote{Text: opened.Text, Verified: []string{}, Times: map[string]int64{}, Unverified: []string{}}
	for _, signature := range opened.Sigs {
		result.Verified = append(result.Verified, signature.Name)
		raw, _ := base64.StdEncoding.DecodeString(signature.Base64)
		if len(raw) == 4+8+64 {
			result.Times[signature.Name] = int64(binary.BigEndian.Uint64(raw[4:]))
		}
	}
	for _, signature := range opened.UnverifiedSigs {
		result.Unverified = append(result.Unverified, signature.Name)
	}
	return result, nil
}

func signNote(arguments []string) (any, error) {
	text, err := os.ReadFile(arguments[0])
	if err != nil {
		return nil, err
	}
	var signers []note.Signer
	for _, skey := range arguments[1:] {
		signer, err := newSigner(skey)
		if err != nil {
			return nil, err
		}
		signers = append(signers, signer)
	}
	signed, err := note.Sign(&note.Note{Text: string(text)}, signers...)
	return string(signed), err
}

// newSigner takes PRIVATE+KEY+<name>+<key ID>+<base64 of the type and 32 secret bytes>.
func newSigner(skey string) (note.Signer, error) {
	parts := strings.SplitN(skey, "+", 5)
	if len(parts) != 5 {
		return nil, errors.New("malformed signer key")
	}
	secret, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(secret) != 33 {
		return nil, errors.New("malformed signer key")
	}
	switch secret[0] {
	case typeEd25519:
		return note.NewSigner(skey)
	case typeECDSA:
		return newECDSASigner(parts[2], secret[1:])
	case typeCosignature:
		return formats.NewSignerForCosignatureV1(skey)
	}
	return nil, errors.New("unknown signature type")
}

type ecdsaSigner struct {
	name string
	id   uint32
	key  *ecdsa.PrivateKey
}

func newECDSASigner(name string, secret []byte) (*ecdsaSigner, error) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), secret)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(spki)
	return &ecdsaSigner{name, binary.BigEndian.Uint32(hash[:]), key}, nil
}

func (s *ecdsaSigner) Name() string    { return s.name }
func (s *ecdsaSigner) KeyHash() uint32 { return s.id }

// Sign brings s into the lower half, which Go does not ask for and Holdfast does.
func (s *ecdsaSigner) Sign(message []byte) ([]byte, error) {
	hash := sha256.Sum256(message)
	der, err := ecdsa.SignASN1(rand.Reader, s.key, hash[:])
	if err != nil {
		return nil, err
	}
	var signature struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &signature); err != nil {
		return nil, err
	}
	order := elliptic.P256().Params().N
	if signature.S.Cmp(new(big.Int).Rsh(order, 1)) > 0 {
		signature.S.Sub(order, signature.S)
	}
	return asn1.Marshal(signature)
}
