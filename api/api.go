// Package api describes the keys that users write: the labels and annotations of
// the domain nova.dev. The packages below it hold the contracts: injection, backup
// and sidecar declare their keys or variables, their defaults and their validation.
// All of them use the standard library alone, so that every other package can
// import them.
package api

// Domain is the suffix of every label and annotation key of the product.
const Domain = "nova.dev"
