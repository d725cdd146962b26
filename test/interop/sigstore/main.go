// Verifies a statement in a Sigstore bundle with sigstore-go, as cosign does with --key: sigstore BUNDLE KEY.pem BLOB
package main

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// The one key that was given, and nothing of the public instance of Sigstore.
type material struct {
	root.BaseTrustedMaterial
	v signature.Verifier
}

func (m *material) PublicKeyVerifier(_ string) (root.TimeConstrainedVerifier, error) {
	return root.NewExpiringKey(m.v, time.Time{}, time.Time{}), nil
}

func main() {
	b, err := bundle.LoadJSONFromPath(os.Args[1])
	check(err)
	raw, err := os.ReadFile(os.Args[2])
	check(err)
	block, _ := pem.Decode(raw)
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	check(err)
	v, err := signature.LoadVerifier(key, crypto.SHA256)
	check(err)
	f, err := os.Open(os.Args[3])
	check(err)
	verifier, err := verify.NewVerifier(&material{v: v}, verify.WithNoObserverTimestamps())
	check(err)
	res, err := verifier.Verify(b, verify.NewPolicy(verify.WithArtifact(f), verify.WithKey()))
	check(err)
	fmt.Println("verified", res.Statement.GetPredicateType(), res.Statement.GetSubject()[0].GetName())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
