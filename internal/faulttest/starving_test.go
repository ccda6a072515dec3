package faulttest

func starving() {}
