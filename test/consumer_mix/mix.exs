defmodule Consumer.MixProject do
  use Mix.Project

  def project do
    [app: :consumer, version: "0.1.0", elixir: "~> 1.14", deps: deps(), releases: releases()]
  end

  def application do
    [extra_applications: [:logger]]
  end

  # ALCOVE_PATH is the directory of the tree that is tested.
  defp deps do
    [{:alcove, path: System.fetch_env!("ALCOVE_PATH"), manager: manager()}]
  end

  # ALCOVE_MANAGER is what builds it.
  defp manager do
    case System.get_env("ALCOVE_MANAGER", "rebar3") do
      "rebar3" -> :rebar3
      "mix" -> :mix
    end
  end

  defp releases do
    [consumer: [include_executables_for: [:unix]]]
  end
end
