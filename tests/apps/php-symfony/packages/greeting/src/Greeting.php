<?php

namespace Greeting;

final class Greeting
{
    public function __construct(private string $whom)
    {
    }

    public function text(): string
    {
        return 'Hello ' . mb_strtoupper($this->whom);
    }
}
