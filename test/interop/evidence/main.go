// Verifies a DSSE envelope in a Sigstore bundle with Go's own packages and nothing of ours: dsse BUNDLE KEY.pem
package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
)

type bundle struct {
	MediaType string `json:"mediaType"`
	Envelope  struct {
		PayloadType string `json:"payloadType"`
		Payload     []byte `json:"payload"`
		Signatures  []struct {
			Sig []byte `json:"sig"`
		} `json:"signatures"`
	} `json:"dsseEnvelope"`
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func verifies(key any, message, signature []byte) bool {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, message, signature)
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		return ecdsa.VerifyASN1(key, digest[:], signature)
	}
	return false
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	must(err)
	var read bundle
	must(json.Unmarshal(text, &read))
	text, err = os.ReadFile(os.Args[2])
	must(err)
	block, _ := pem.Decode(text)
	if block == nil || len(read.Envelope.Signatures) != 1 {
		must(fmt.Errorf("there must be a key and one signature"))
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	must(err)
	kind, payload := read.Envelope.PayloadType, read.Envelope.Payload
	message := append(fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(kind), kind, len(payload)), payload...)
	if !verifies(key, message, read.Envelope.Signatures[0].Sig) {
		must(fmt.Errorf("the signature does not verify"))
	}
	os.Stdout.Write(payload)
}
