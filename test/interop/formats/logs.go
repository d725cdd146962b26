package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// tilePath is the address by C2SP tlog-tiles of what tlog calls tile/8/<level>/...
func tilePath(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight))
	return "tile/" + strings.Replace(path, "data/", "entries/", 1)
}

type treeHead struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
}

// memory holds all hashes of a tree.
type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(m)) {
			return nil, fmt.Errorf("there is no hash %d", index)
		}
		hashes[i] = m[index]
	}
	return hashes, nil
}

// writeLog writes the tiles and entry bundles that a log of these entries (base64) has more than one of OLD-SIZE.
func writeLog(arguments []string) (any, error) {
	var entries [][]byte
	if err := readJSON(arguments[1], &entries); err != nil {
		return nil, err
	}
	old, err := strconv.ParseInt(arguments[2], 10, 64)
	if err != nil {
		return nil, err
	}
	var hashes memory
	for i, entry := range entries {
		stored, err := tlog.StoredHashes(int64(i), entry, hashes)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, stored...)
	}
	size := int64(len(entries))
	for _, tile := range tlog.NewTiles(tileHeight, old, size) {
		data, err := tlog.ReadTileData(tile, hashes)
		if err != nil {
			return nil, err
		}
		if err := writeTile(arguments[0], tile, data); err != nil {
			return nil, err
		}
		if tile.L != 0 {
			continue
		}
		tile.L = -1
		var bundle []byte
		for _, entry := range entries[tile.N*tileWidth : tile.N*tileWidth+int64(tile.W)] {
			bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(entry)))
			bundle = append(bundle, entry...)
		}
		if err := writeTile(arguments[0], tile, bundle); err != nil {
			return nil, err
		}
	}
	root, err := tlog.TreeHash(size, hashes)
	return treeHead{size, root}, err
}

func writeTile(folder string, tile tlog.Tile, data []byte) error {
	path := filepath.Join(folder, filepath.FromSlash(tilePath(tile)))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// source gives a file of a log by its path, which is that of C2SP tlog-tiles.
type source func(path string) ([]byte, error)

func folder(root string) source {
	return func(path string) ([]byte, error) {
		return os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	}
}

// tiles reads a log's tiles.
type tiles struct{ read source }

func (t tiles) Height() int { return tileHeight }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(wanted))
	for i, tile := range wanted {
		var err error
		if data[i], err = t.read(tilePath(tile)); err != nil {
			return nil, err
		}
		if len(data[i]) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes", tilePath(tile), len(data[i]))
		}
	}
	return data, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func openTree(arguments []string) (tlog.Tree, tlog.HashReader, error) {
	size, err := strconv.ParseInt(arguments[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, nil, err
	}
	root, err := tlog.ParseHash(arguments[2])
	if err != nil {
		return tlog.Tree{}, nil, err
	}
	tree := tlog.Tree{N: size, Hash: root}
	return tree, tlog.TileHashReader(tree, tiles{folder(arguments[0])}), nil
}

// readLog checks every tile and every entry of a log against its root.
func readLog(arguments []string) (any, error) {
	tree, reader, err := openTree(arguments)
	if err != nil {
		return nil, err
	}
	return readEntries(tree, reader, folder(arguments[0]))
}

// readEntries gives all entries, each of which is in the tree at its place.
func readEntries(tree tlog.Tree, reader tlog.HashReader, read source) ([][]byte, error) {
	entries := [][]byte{}
	for start := int64(0); start < tree.N; start += tileWidth {
		width := min(tileWidth, tree.N-start)
		bundle, err := read(tilePath(tlog.Tile{H: tileHeight, L: -1, N: start / tileWidth, W: int(width)}))
		if err != nil {
			return nil, err
		}
		for i := start; i < start+width; i++ {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return nil, fmt.Errorf("the entry bundle at %d is too short", start)
			}
			length := int(binary.BigEndian.Uint16(bundle))
			entry := bundle[2 : 2+length]
			bundle = bundle[2+length:]
			hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
			if err != nil {
				return nil, err
			}
			if hashes[0] != tlog.RecordHash(entry) {
				return nil, fmt.Errorf("entry %d is not in the tree", i)
			}
			entries = append(entries, bytes.Clone(entry))
		}
		if len(bundle) != 0 {
			return nil, fmt.Errorf("the entry bundle at %d is too long", start)
		}
	}
	return entries, nil
}

func proveInclusion(arguments []string) (any, error) {
	tree, reader, err := openTree(arguments)
	if err != nil {
		return nil, err
	}
	index, err := strconv.ParseInt(arguments[3], 10, 64)
	if err != nil {
		return nil, err
	}
	return tlog.ProveRecord(tree.N, index, reader)
}

func proveConsistency(arguments []string) (any, error) {
	tree, reader, err := openTree(arguments)
	if err != nil {
		return nil, err
	}
	old, err := strconv.ParseInt(arguments[3], 10, 64)
	if err != nil {
		return nil, err
	}
	return tlog.ProveTree(tree.N, old, reader)
}
