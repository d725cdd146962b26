package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"
)

type inclusionProof struct {
	Index int64            `json:"index"`
	Leaf  tlog.Hash        `json:"leaf"`
	Head  treeHead         `json:"head"`
	Proof tlog.RecordProof `json:"proof"`
}

// checkInclusion prints for each proof whether it verifies.
func checkInclusion(arguments []string) (any, error) {
	var proofs []inclusionProof
	if err := readJSON(arguments[0], &proofs); err != nil {
		return nil, err
	}
	verdicts := make([]bool, len(proofs))
	for i, p := range proofs {
		verdicts[i] = tlog.CheckRecord(p.Proof, p.Head.Size, p.Head.Root, p.Index, p.Leaf) == nil
	}
	return verdicts, nil
}

type consistencyProof struct {
	Older treeHead       `json:"older"`
	Newer treeHead       `json:"newer"`
	Proof tlog.TreeProof `json:"proof"`
}

// checkConsistency prints for each proof whether it verifies. The older tree must not be empty.
func checkConsistency(arguments []string) (any, error) {
	var proofs []consistencyProof
	if err := readJSON(arguments[0], &proofs); err != nil {
		return nil, err
	}
	verdicts := make([]bool, len(proofs))
	for i, p := range proofs {
		verdicts[i] = tlog.CheckTree(p.Proof, p.Newer.Size, p.Newer.Root, p.Older.Size, p.Older.Root) == nil
	}
	return verdicts, nil
}

type tlogProof struct {
	Index  uint64      `json:"index"`
	Hashes []tlog.Hash `json:"hashes"`
	Extra  []byte      `json:"extra"`
}

// writeProof prints a C2SP tlog-proof.
func writeProof(arguments []string) (any, error) {
	var p tlogProof
	if err := readJSON(arguments[0], &p); err != nil {
		return nil, err
	}
	checkpoint, err := os.ReadFile(arguments[1])
	if err != nil {
		return nil, err
	}
	result := proof.TLogProof{Index: p.Index, Checkpoint: checkpoint, ExtraData: p.Extra}
	for _, hash := range p.Hashes {
		result.Hashes = append(result.Hashes, hash)
	}
	return string(result.Marshal()), nil
}

// checkProof verifies a C2SP tlog-proof: that its checkpoint is signed by all of the keys, and includes the leaf.
func checkProof(arguments []string) (any, error) {
	data, err := os.ReadFile(arguments[0])
	if err != nil {
		return nil, err
	}
	var leaf tlog.Hash
	if err := json.Unmarshal([]byte(`"`+arguments[1]+`"`), &leaf); err != nil {
		return nil, err
	}
	return openProof(data, leaf, arguments[2:])
}

func openProof(data []byte, leaf tlog.Hash, vkeys []string) (*tlogProof, error) {
	var p proof.TLogProof
	if err := p.Unmarshal(data); err != nil {
		return nil, err
	}
	opened, err := openNote(p.Checkpoint, vkeys)
	if err != nil {
		return nil, err
	}
	if len(opened.Sigs) != len(vkeys) {
		return nil, fmt.Errorf("%d keys have signed the checkpoint", len(opened.Sigs))
	}
	var checkpoint log.Checkpoint
	if rest, err := checkpoint.Unmarshal([]byte(opened.Text)); err != nil || len(rest) != 0 {
		return nil, errNotVerified
	}
	hashes := tlog.RecordProof{}
	for _, hash := range p.Hashes {
		hashes = append(hashes, hash)
	}
	err = tlog.CheckRecord(hashes, int64(checkpoint.Size), tlog.Hash(checkpoint.Hash), int64(p.Index), leaf)
	if err != nil {
		return nil, err
	}
	return &tlogProof{Index: p.Index, Hashes: hashes, Extra: p.ExtraData}, nil
}
