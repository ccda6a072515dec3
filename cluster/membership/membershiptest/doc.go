// Package membershiptest is for the tests of membership providers, also of your own.
package membershiptest
